"""The keys of the labelling page, as each person has changed them

Revision: 0007, after 0006.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("user", sa.Column("keys", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("user", "keys")
