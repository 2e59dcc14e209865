"""Plumbing that the API, the tap and the console share."""
