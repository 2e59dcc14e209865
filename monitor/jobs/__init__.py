"""Leased work beside the poll loop."""
