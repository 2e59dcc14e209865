"""Abstention: whether an answer of high stakes is shown, withheld or given to a person."""
