"""Which responses are measured, with what probability."""
