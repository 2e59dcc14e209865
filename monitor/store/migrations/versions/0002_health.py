"""Evaluator health, localisation and reporting."""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new."""


def downgrade() -> None:
    """Take it away again."""
