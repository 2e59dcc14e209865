"""The leased process that starts confirm runs."""
