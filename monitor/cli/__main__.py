"""`python -m monitor.cli`: the same as `candor`, for processes that start others of their kind."""

from monitor.cli import main

main()
