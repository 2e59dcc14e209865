"""The first schema: every table as the code declares it.

A second revision begins by writing down here, as they then are, the tables that it changes.
"""

from alembic import op

from monitor.store.schema import metadata

revision = "s1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    metadata.create_all(op.get_bind(), checkfirst=False)


def downgrade() -> None:
    """Drop every table."""
    metadata.drop_all(op.get_bind(), checkfirst=False)
