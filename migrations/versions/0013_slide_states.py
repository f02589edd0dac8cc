"""States of slides, and when they came into each

Revision: 0013, after 0012.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Slides of earlier releases are complete when all their uploads are finished.
COMPLETE = """
UPDATE slide SET state = 'needs_review'
WHERE id IN (SELECT slide_id FROM upload) AND id NOT IN (SELECT slide_id FROM upload WHERE finished_at IS NULL)
"""
RECEIVED = """
INSERT INTO slide_state (slide_id, state, reason, at) SELECT id, 'receiving', '', created_at FROM slide
"""
COMPLETED = """
INSERT INTO slide_state (slide_id, state, reason, at)
SELECT id, 'needs_review', '', (SELECT max(finished_at) FROM upload WHERE upload.slide_id = slide.id)
FROM slide WHERE state = 'needs_review'
"""


def upgrade() -> None:
    op.create_table(
        "slide_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slide_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["slide_id"], ["slide.id"], name=op.f("fk_slide_state_slide_id_slide")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slide_state")),
    )
    op.create_index(op.f("ix_slide_state_slide_id"), "slide_state", ["slide_id"])
    op.add_column("slide", sa.Column("state", sa.String(), server_default="receiving", nullable=False))
    op.create_index("ix_slide_state", "slide", ["state", "project_id"])
    for statement in (COMPLETE, RECEIVED, COMPLETED):
        op.execute(statement)


def downgrade() -> None:
    op.drop_index("ix_slide_state", "slide")
    op.drop_column("slide", "state")
    op.drop_table("slide_state")
