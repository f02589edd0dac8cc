"""Uploads that can be resumed

Revision: 0014, after 0013.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("upload", sa.Column("resumable_name", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("upload", "resumable_name")
