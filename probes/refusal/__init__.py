"""Replies that refuse and claim nothing: told apart before any probe is asked whether they lie."""

from probes.refusal.detect import is_bare_refusal
from probes.refusal.rule import REFUSAL, RefusalRule

__all__ = ["REFUSAL", "RefusalRule", "is_bare_refusal"]
