"""Judge texts, versioned by content hash."""

from probes.rubrics.rubric import Question, Rubric, Step, load_rubric

__all__ = ["Question", "Rubric", "Step", "load_rubric"]
