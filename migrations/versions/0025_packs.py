"""Lab packs

Revision: 0025, after 0024.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pack",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("classifier_id", sa.Integer(), nullable=True),
        sa.Column("with_images", sa.Boolean(), nullable=False),
        sa.Column("project_name", sa.String(), server_default="", nullable=False),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("found", sa.JSON(), nullable=True),
        sa.Column("problem", sa.String(), server_default="", nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_pack_project_id_project")),
        sa.ForeignKeyConstraint(["classifier_id"], ["classifier.id"], name=op.f("fk_pack_classifier_id_classifier")),
        sa.ForeignKeyConstraint(["created_by"], ["user.id"], name=op.f("fk_pack_created_by_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pack")),
    )
    op.create_index(op.f("ix_pack_project_id"), "pack", ["project_id"])


def downgrade() -> None:
    op.drop_table("pack")
