"""Judge texts, versioned by content hash."""

from probes.rubrics.rubric import Question, Rubric, load_rubric

__all__ = ["Question", "Rubric", "load_rubric"]
