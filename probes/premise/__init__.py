"""A small reader of premises: does a text in front of it bear out a claim, contradict it, or neither?"""

from probes.premise.reader import CONTRADICTION, ENTAILMENT, NEUTRAL, PremiseReader

__all__ = ["CONTRADICTION", "ENTAILMENT", "NEUTRAL", "PremiseReader"]
