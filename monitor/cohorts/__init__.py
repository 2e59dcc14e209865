"""Raters, biased cohorts and their influence: pure."""
