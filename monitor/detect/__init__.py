"""Verdicts to detector states and latched alarms: pure."""
