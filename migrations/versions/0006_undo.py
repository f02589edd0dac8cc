"""What was in force before an annotation, and the actions of people: undo gives back labels as they were

Revision: 0006, after 0005.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BEFORE = """
UPDATE annotation SET before_id = (
  SELECT max(earlier.id) FROM annotation AS earlier
  WHERE earlier.cell_id = annotation.cell_id AND earlier.id < annotation.id
)
"""


def upgrade() -> None:
    op.create_table(
        "label_action",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_label_action_project_id_project")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_label_action_user_id_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_action")),
        sa.UniqueConstraint("project_id", "action", name=op.f("uq_label_action_project_id_action")),
    )
    op.create_index("ix_label_action_user_id", "label_action", ["user_id", "project_id", "id"])
    op.add_column("annotation", sa.Column("before_id", sa.Integer(), nullable=True))
    op.create_index("ix_annotation_action", "annotation", ["action", "id"])
    # Until now every annotation was in force until the next one of its cell.
    op.execute(BEFORE)


def downgrade() -> None:
    op.drop_index("ix_annotation_action", "annotation")
    op.drop_column("annotation", "before_id")
    op.drop_index("ix_label_action_user_id", "label_action")
    op.drop_table("label_action")
