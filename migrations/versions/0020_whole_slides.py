"""The field of a part that is a whole slide; cells that were removed by hand

Revision: 0020, after 0019.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("upload_part", sa.Column("field_id", sa.Integer(), nullable=True))
    op.add_column("cell", sa.Column("removed", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column("cell", "removed")
    op.drop_column("upload_part", "field_id")
