"""Open reports may hold interim predictions

Revision: 0015, after 0014.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("report", sa.Column("bound", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_classifier_scanner_id",
        "classifier",
        ["scanner_id"],
        sqlite_where=sa.text("scanner_id IS NOT NULL"),
        postgresql_where=sa.text("scanner_id IS NOT NULL"),
    )
    op.execute("UPDATE report SET bound = (classifier_id IS NOT NULL)")


def downgrade() -> None:
    op.drop_index("ix_classifier_scanner_id", "classifier")
    op.drop_column("report", "bound")
