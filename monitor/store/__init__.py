"""The SQL store: the truth about everything accepted."""
