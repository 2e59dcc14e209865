"""The type of a row's number."""

import sqlalchemy as sa

# SQLite makes only INTEGER primary keys autoincrement.
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
