"""Pseudonyms in place of accession numbers, files kept as received, and when originals are deleted

Revision: 0016, after 0015.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("project", sa.Column("accession_key", sa.String(), nullable=True))
    op.add_column("project", sa.Column("keep_received", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("project", sa.Column("retention_days", sa.Integer(), nullable=True))
    op.add_column("project", sa.Column("retention_cells", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("slide", sa.Column("originals_deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("slide", sa.Column("pictures_deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "original",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slide_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["slide_id"], ["slide.id"], name=op.f("fk_original_slide_id_slide")),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_original_image_id_image")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_original")),
        sa.UniqueConstraint("slide_id", "image_id", name=op.f("uq_original_slide_id_image_id")),
    )
    op.create_index(op.f("ix_original_sha256"), "original", ["sha256"])


def downgrade() -> None:
    op.drop_table("original")
    op.drop_column("slide", "pictures_deleted_at")
    op.drop_column("slide", "originals_deleted_at")
    op.drop_column("project", "retention_cells")
    op.drop_column("project", "retention_days")
    op.drop_column("project", "keep_received")
    op.drop_column("project", "accession_key")
