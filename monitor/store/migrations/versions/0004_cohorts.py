"""Coordination groups, the frozen cohort, and the watch on the honesty towards it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new."""
    op.create_table(
        "rater_groups",
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("rater", sa.String(length=64), nullable=False),
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column("estimate_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("assistant", "rater", name=op.f("pk_rater_groups")),
        comment="Raters of the newest estimate's coordination groups, each in the surest of theirs.",
    )
    op.create_index(op.f("ix_rater_groups_rater"), "rater_groups", ["rater"])
    op.create_table(
        "cohort_members",
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column("rater", sa.String(length=64), nullable=False),
        sa.Column(
            "in_cohort", sa.Boolean(), nullable=False, comment="Whether the rater was a suspect."
        ),
        sa.PrimaryKeyConstraint("assistant", "rater", name=op.f("pk_cohort_members")),
        comment="Who was in the cohort when it was frozen; only later responses are compared.",
    )
    op.create_index(op.f("ix_cohort_members_rater"), "cohort_members", ["rater"])
    op.create_table(
        "gap_watches",
        sa.Column("assistant", sa.String(length=200), nullable=False),
        sa.Column(
            "cutoff_s",
            sa.Float(),
            nullable=False,
            comment="Responses up to this time do not count.",
        ),
        sa.Column("frozen_at_s", sa.Float(), nullable=False),
        sa.Column(
            "frozen_position",
            sa.BigInteger(),
            nullable=False,
            comment="verdict_log.id at the freeze.",
        ),
        sa.Column(
            "log_position",
            sa.BigInteger(),
            nullable=False,
            comment="verdict_log.id that was read last.",
        ),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="The detector, and whether its alarm is open.",
        ),
        sa.Column("gap", sa.Text(), nullable=False, comment="SycophancyGap as JSON, or null."),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="Compare-and-set counter."),
        sa.PrimaryKeyConstraint("assistant", name=op.f("pk_gap_watches")),
        comment="The honesty towards the frozen cohort, less that towards others.",
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("gap_watches")
    op.drop_index(op.f("ix_cohort_members_rater"), table_name="cohort_members")
    op.drop_table("cohort_members")
    op.drop_index(op.f("ix_rater_groups_rater"), table_name="rater_groups")
    op.drop_table("rater_groups")
