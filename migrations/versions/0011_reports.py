"""Reports of slides: settings, versions, signatures

Revision: 0011, after 0010.
It must work while the previous release still runs: add first, remove a release later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reporting",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.JSON(), nullable=False),
        sa.Column("ranges", sa.JSON(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("cells", sa.Integer(), nullable=False),
        sa.Column("within", sa.Double(), nullable=False),
        sa.Column("reject_below", sa.Double(), nullable=False),
        sa.Column("signer", sa.String(), nullable=False),
        sa.Column("second_signature", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_reporting_project_id_project")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_reporting")),
    )
    op.create_table(
        "report",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("slide_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("classifier_id", sa.Integer(), nullable=True),
        sa.Column("preliminary", sa.Boolean(), nullable=False),
        sa.Column("reject_below", sa.Double(), nullable=True),
        sa.Column("scores", sa.LargeBinary(), nullable=True),
        sa.Column("scores_sha256", sa.String(), nullable=True),
        sa.Column("classified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("needs_second", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_report_project_id_project")),
        sa.ForeignKeyConstraint(["slide_id"], ["slide.id"], name=op.f("fk_report_slide_id_slide")),
        sa.ForeignKeyConstraint(["classifier_id"], ["classifier.id"], name=op.f("fk_report_classifier_id_classifier")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report")),
        sa.UniqueConstraint("slide_id", "version", name=op.f("uq_report_slide_id_version")),
    )
    op.create_table(
        "signature",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name=op.f("fk_signature_report_id_report")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_signature_user_id_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signature")),
        sa.UniqueConstraint("report_id", "user_id", name=op.f("uq_signature_report_id_user_id")),
    )


def downgrade() -> None:
    op.drop_table("signature")
    op.drop_table("report")
    op.drop_table("reporting")
