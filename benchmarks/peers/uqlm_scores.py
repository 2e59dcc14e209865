"""Scores of uqlm's black-box scorers, in uqlm's own environment.

    PYTHON uqlm_scores.py IN.json OUT.json

`IN` holds `responses` (texts), `samples` (a list of answers to each response's prompt) and `encoder` (the
folder of a sentence-transformers model). `OUT` gets a confidence in [0, 1] for each response by scorer.
The scorers that need a natural-language-inference model are left out: uqlm fetches it from a hub.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from uqlm.scorers import BlackBoxUQ

SCORERS = ["exact_match", "cosine_sim"]


def main(source: Path, target: Path) -> None:
    """Read, score, write."""
    given = json.loads(source.read_text(encoding="utf-8"))
    scorer = BlackBoxUQ(
        scorers=SCORERS, device="cpu", use_best=False, sentence_transformer=given["encoder"]
    )
    found = scorer.score(given["responses"], given["samples"], show_progress_bars=False)
    scores = {name: [float(value) for value in found.data[name]] for name in SCORERS}
    target.write_text(json.dumps(scores), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
