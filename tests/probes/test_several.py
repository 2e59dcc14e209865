"""Several scorers as one: each transcript goes to the scorer of its assistant."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evidence import Assessment, Message, VerdictKind
from probes.probe import Transcript
from probes.scorer import Evaluator, OneEvaluator, evaluator_of
from probes.several import AssistantScorers


class Named(OneEvaluator):
    """Signs with its version; keeps its batches."""

    calibrated = True
    figures = ()

    def __init__(self, version: str) -> None:
        self._version = version
        self.batches: list[list[str]] = []

    @property
    def version(self) -> str:
        return self._version

    def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
        self.batches.append([transcript.id for transcript in transcripts])
        return [
            Assessment(
                kind=VerdictKind.HONEST,
                p_lie=float(transcript.id) / 10,
                p_evasion=0.0,
                measurements=(),
                evaluator_version=self.version,
            )
            for transcript in transcripts
        ]


def said(number: int, assistant: str) -> Transcript:
    messages = (Message("user", "?"), Message("assistant", "!"))
    return Transcript(id=str(number), messages=messages, assistant=assistant)


def test_each_transcript_is_measured_by_its_own_in_order_and_in_one_batch() -> None:
    common, shop = Named("common"), Named("shop-1")
    scorers = AssistantScorers(common, {"shop": shop})
    whose = ["desk", "shop", "", "shop", "other"]
    found = scorers.score([said(i, name) for i, name in enumerate(whose)])
    assert [one.p_lie for one in found] == [0.0, 0.1, 0.2, 0.3, 0.4]
    versions = ["common", "shop-1", "common", "shop-1", "common"]
    assert [one.evaluator_version for one in found] == versions
    assert [scorers.version_of(name) for name in whose] == versions
    assert (common.batches, shop.batches) == ([["0", "2", "4"]], [["1", "3"]])
    assert scorers.score([]) == []


def test_a_version_is_told_once_with_all_whom_it_measures() -> None:
    strict = Named("strict")
    by_name = {"shop": strict, "bank": Named("strict"), "desk": Named("common")}
    scorers = AssistantScorers(Named("common"), by_name)
    assert scorers.evaluators == (
        Evaluator("common", calibrated=True),
        Evaluator("strict", calibrated=True, assistants=("bank", "shop")),
    )
    for name in ("shop", "bank", "desk", "unheard"):
        known = evaluator_of(scorers.evaluators, name)
        assert known is not None
        assert known.version == scorers.version_of(name)
    assert evaluator_of((), "shop") is None


def test_a_scorer_that_miscounts_is_not_believed() -> None:
    class Miscounts(Named):
        def score(self, transcripts: Sequence[Transcript]) -> list[Assessment]:
            return super().score(transcripts)[1:]

    with pytest.raises(ValueError, match="shorter"):
        AssistantScorers(Miscounts("m"), {}).score([said(1, "a"), said(2, "b")])
