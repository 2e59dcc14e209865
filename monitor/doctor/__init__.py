"""What `candor doctor` looks at."""
