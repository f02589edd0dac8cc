"""The language people choose for their pages

Revision: 0003, after 0002.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("user", sa.Column("language", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("user", "language")
