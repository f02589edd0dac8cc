"""Validation cells of a scanner, and the comparison of classifiers on them

Revision: 0021, after 0020.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "adaptation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("scanner_id", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("validation", sa.LargeBinary(), nullable=False),
        sa.Column("comparison", sa.JSON(), nullable=True),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_adaptation_project_id_project")),
        sa.ForeignKeyConstraint(["scanner_id"], ["scanner.id"], name=op.f("fk_adaptation_scanner_id_scanner")),
        sa.ForeignKeyConstraint(["created_by"], ["user.id"], name=op.f("fk_adaptation_created_by_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adaptation")),
        sa.UniqueConstraint("scanner_id", name=op.f("uq_adaptation_scanner_id")),
    )
    op.create_index(op.f("ix_adaptation_project_id"), "adaptation", ["project_id"])


def downgrade() -> None:
    op.drop_table("adaptation")
