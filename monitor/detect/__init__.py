"""Detection: a pure stage that turns the canonical verdict log into alarms with a guarantee."""
