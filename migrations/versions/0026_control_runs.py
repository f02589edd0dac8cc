"""Slides that are further runs of another

Revision: 0026, after 0025.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "control_run",
        sa.Column("slide_id", sa.Integer(), nullable=False),
        sa.Column("repeats_id", sa.Integer(), nullable=False),
        sa.Column("scanner_id", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["slide_id"], ["slide.id"], name=op.f("fk_control_run_slide_id_slide")),
        sa.ForeignKeyConstraint(["repeats_id"], ["slide.id"], name=op.f("fk_control_run_repeats_id_slide")),
        sa.ForeignKeyConstraint(["scanner_id"], ["scanner.id"], name=op.f("fk_control_run_scanner_id_scanner")),
        sa.ForeignKeyConstraint(["created_by"], ["user.id"], name=op.f("fk_control_run_created_by_user")),
        sa.PrimaryKeyConstraint("slide_id", name=op.f("pk_control_run")),
    )
    op.create_index(op.f("ix_control_run_scanner_id"), "control_run", ["scanner_id"])


def downgrade() -> None:
    op.drop_table("control_run")
