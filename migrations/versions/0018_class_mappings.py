"""Mappings of classes onto other schemes

Revision: 0018, after 0017.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "class_mapping",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("rows", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_class_mapping_project_id_project")),
        sa.ForeignKeyConstraint(["created_by"], ["user.id"], name=op.f("fk_class_mapping_created_by_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_class_mapping")),
        sa.UniqueConstraint("project_id", "name", "version", name=op.f("uq_class_mapping_project_id_name_version")),
    )


def downgrade() -> None:
    op.drop_table("class_mapping")
