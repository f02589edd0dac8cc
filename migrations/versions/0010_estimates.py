"""What a fit itself estimates of its accuracy

Revision: 0010, after 0009.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("classifier", sa.Column("estimate", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("classifier", "estimate")
