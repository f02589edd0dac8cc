"""Which candidate of an adaptation a version of the classifier is, and what a manager decided on

Revision: 0022, after 0021.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("classifier", sa.Column("adapted", sa.String(), server_default="", nullable=False))
    op.add_column("adaptation", sa.Column("decision", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("adaptation", "decision")
    op.drop_column("classifier", "adapted")
