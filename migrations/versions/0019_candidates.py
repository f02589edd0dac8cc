"""Versions of a classifier that are kept under a name, and the code that fitted them

Revision: 0019, after 0018.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("classifier", sa.Column("name", sa.String(), server_default="", nullable=False))
    op.add_column("classifier", sa.Column("revision", sa.String(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("classifier", "revision")
    op.drop_column("classifier", "name")
