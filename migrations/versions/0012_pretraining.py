"""Encoders trained further on a lab's own cells

Revision: 0012, after 0011.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pretraining",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("scanner_id", sa.Integer(), nullable=True),
        sa.Column("start_encoder_id", sa.Integer(), nullable=False),
        sa.Column("encoder_id", sa.Integer(), nullable=True),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("most_images", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("log", sa.JSON(), nullable=False),
        sa.Column("seconds_left", sa.Double(), nullable=True),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_pretraining_project_id_project")),
        sa.ForeignKeyConstraint(["scanner_id"], ["scanner.id"], name=op.f("fk_pretraining_scanner_id_scanner")),
        sa.ForeignKeyConstraint(
            ["start_encoder_id"], ["encoder.id"], name=op.f("fk_pretraining_start_encoder_id_encoder")
        ),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoder.id"], name=op.f("fk_pretraining_encoder_id_encoder")),
        sa.ForeignKeyConstraint(["created_by"], ["user.id"], name=op.f("fk_pretraining_created_by_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pretraining")),
    )
    op.create_index(op.f("ix_pretraining_project_id"), "pretraining", ["project_id"])


def downgrade() -> None:
    op.drop_table("pretraining")
