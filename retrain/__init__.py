"""Offline: rows and provenance, quarantine, arms, fine-tune, evaluation, decision, gate, guard."""
