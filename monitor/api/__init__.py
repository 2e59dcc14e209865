"""The HTTP API: records in, findings out, people's decisions recorded."""
