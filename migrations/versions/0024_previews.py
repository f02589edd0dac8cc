"""What would change if another classifier reported for a scanner

Revision: 0024, after 0023.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activation_preview",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("classifier_id", sa.Integer(), nullable=False),
        sa.Column("scanner_id", sa.Integer(), nullable=False),
        sa.Column("found", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                [f"{other}_id"], [f"{other}.id"], name=op.f(f"fk_activation_preview_{other}_id_{other}")
            )
            for other in ("project", "classifier", "scanner")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activation_preview")),
        sa.UniqueConstraint("classifier_id", "scanner_id", name=op.f("uq_activation_preview_classifier_id_scanner_id")),
    )


def downgrade() -> None:
    op.drop_table("activation_preview")
