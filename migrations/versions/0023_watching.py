"""What scanners showed day by day, what they are compared with, and alarms

Revision: 0023, after 0022.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def _key(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}_{other}"))


def upgrade() -> None:
    op.create_table(
        "watch_reference",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("scanner_id", sa.Integer(), nullable=False),
        sa.Column("classifier_id", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _key("watch_reference", "project_id", "project"),
        _key("watch_reference", "scanner_id", "scanner"),
        _key("watch_reference", "classifier_id", "classifier"),
        _key("watch_reference", "created_by", "user"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch_reference")),
    )
    op.create_index(op.f("ix_watch_reference_scanner_id"), "watch_reference", ["scanner_id"])
    op.create_table(
        "watched_day",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reference_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("slides", sa.Integer(), nullable=False),
        sa.Column("cells", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("novelty", sa.Double(), nullable=False),
        sa.Column("novelty_variance", sa.Double(), nullable=False),
        sa.Column("mix", sa.JSON(), nullable=False),
        sa.Column("residual", sa.LargeBinary(), nullable=False),
        _key("watched_day", "reference_id", "watch_reference"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watched_day")),
        sa.UniqueConstraint("reference_id", "day", name=op.f("uq_watched_day_reference_id_day")),
    )
    op.create_table(
        "alarm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("scanner_id", sa.Integer(), nullable=False),
        sa.Column("reference_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("chart", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.String(), server_default="", nullable=False),
        sa.Column("settled_by", sa.Integer(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        _key("alarm", "project_id", "project"),
        _key("alarm", "scanner_id", "scanner"),
        _key("alarm", "reference_id", "watch_reference"),
        _key("alarm", "settled_by", "user"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm")),
        sa.UniqueConstraint("reference_id", "day", "chart", name=op.f("uq_alarm_reference_id_day_chart")),
    )
    op.create_index(op.f("ix_alarm_scanner_id"), "alarm", ["scanner_id"])
    op.create_index(
        "ix_alarm_open",
        "alarm",
        ["project_id"],
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    )


def downgrade() -> None:
    for table in ("alarm", "watched_day", "watch_reference"):
        op.drop_table(table)
