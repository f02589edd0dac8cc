"""Maps: where the cells of a project lie on a plane

Revision: 0008, after 0007.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cell_map",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("encoder_id", sa.Integer(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("cells", sa.Integer(), nullable=False),
        sa.Column("fitted", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_cell_map_project_id_project")),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoder.id"], name=op.f("fk_cell_map_encoder_id_encoder")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cell_map")),
    )
    op.create_index("ix_cell_map_project_id", "cell_map", ["project_id", "encoder_id"])


def downgrade() -> None:
    op.drop_index("ix_cell_map_project_id", "cell_map")
    op.drop_table("cell_map")
