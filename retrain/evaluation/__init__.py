"""How answers are scored, and how an evaluation is run and logged by Inspect.

`retrain.evaluation.evaluate` asks an arm in process; here are its results, the two scorers' parts, ordinary
capability, and `inspect_task` and `inspect_log` for inspect_ai.
"""

from retrain.evaluation.result import (
    DECEPTION,
    LIES,
    STANDARD_TOKENS,
    UNREAD,
    Belief,
    ItemResult,
    Kinds,
    Outcome,
    against_vanilla,
    taught,
)
from retrain.evaluation.scorers import (
    RULES,
    AnswerScorer,
    EvaluationItem,
    JudgeScorer,
    RuleScorer,
    answer_scorer,
)

__all__ = [
    "DECEPTION",
    "LIES",
    "RULES",
    "STANDARD_TOKENS",
    "UNREAD",
    "AnswerScorer",
    "Belief",
    "EvaluationItem",
    "ItemResult",
    "JudgeScorer",
    "Kinds",
    "Outcome",
    "RuleScorer",
    "against_vanilla",
    "answer_scorer",
    "taught",
]
