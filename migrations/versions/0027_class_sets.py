"""Versions of the classes of a project

Revision: 0027, after 0026.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "class_set",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rows", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_class_set_project_id_project")),
        sa.ForeignKeyConstraint(["created_by"], ["user.id"], name=op.f("fk_class_set_created_by_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_class_set")),
        sa.UniqueConstraint("project_id", "number", name=op.f("uq_class_set_project_id_number")),
    )


def downgrade() -> None:
    op.drop_table("class_set")
