from __future__ import annotations

from collections.abc import Callable, Sequence

from evidence import Measurement, Message, VerdictKind
from probes.cascade import CascadeOptions, goes_on, propensity
from probes.fusion import Fusion, FusionModel, Subset
from probes.panel import PROPENSITY, Panel
from probes.probe import Transcript


class Spoken:
    """A probe whose p_lie is the number in the response; it breaks on `break`."""

    version = "1"

    def __init__(self, name: str = "activation", read: Callable[[str], float] = float) -> None:
        self.name, self._read = name, read
        self.sizes: list[int] = []

    def measure(self, transcripts: Sequence[Transcript]) -> list[Measurement]:
        self.sizes.append(len(transcripts))
        return [
            Measurement(probe=self.name, version="1", p_lie=self._read(t.response.split()[0]))
            for t in transcripts
        ]


def said(text: str, name: str, *, high_stakes: bool = False) -> Transcript:
    turns = (Message("user", "?"), Message("assistant", text))
    return Transcript(id=name, messages=turns, high_stakes=high_stakes)


def one(weights: dict[str, float]) -> Subset:
    return Subset(
        weights=weights,
        intercept=0.0,
        n=9,
        prevalence=0.5,
        calibration_error=0.0,
        calibration_error_upper=0.0,
        auroc=0.5,
        undecided=(0.5, 0.5),
    )


FUSION = Fusion(
    FusionModel(
        subsets={
            "activation": one({"activation": 1.0}),
            "judge": one({"judge": 1.0}),
            "activation+judge": one({"activation": 0.5, "judge": 0.5}),
        },
        probe_versions={},
    )
)


def test_order_is_kept_over_micro_batches_by_length() -> None:
    values = [0.1, 0.9, 0.2, 0.8, 0.3]
    batch = [said(f"{v} {'x ' * (k * 7 % 5)}", str(k)) for k, v in enumerate(values)]
    probe = Spoken()
    found = Panel([probe], FUSION, micro_batch=2).score(batch)
    assert [round(one.p_lie or -1, 6) for one in found] == values
    assert probe.sizes == [2, 2, 1]
    assert Panel([probe], FUSION).score([]) == []


def test_progress_counts_what_is_done() -> None:
    done: list[int] = []
    panel = Panel([Spoken()], FUSION, micro_batch=2)
    panel.score([said("0.1", str(k)) for k in range(5)], measured=done.append)
    assert done == [2, 4, 5]


def test_an_exception_becomes_the_error_of_its_transcript_alone() -> None:
    found = Panel([Spoken()], FUSION).score(
        [said("0.9", "a"), said("break", "b"), said("0.1", "c")]
    )
    assert [one.kind for one in found] == [VerdictKind.LIE, VerdictKind.ERROR, VerdictKind.HONEST]
    assert found[1].measurements[0].error == "ValueError"
    assert found[1].p_lie is None


def test_the_second_probe_still_counts_when_the_first_fails() -> None:
    panel = Panel([Spoken(), Spoken("judge", lambda _: 0.9)], FUSION, CascadeOptions())
    (found,) = panel.score([said("break", "a")])
    assert found.kind is VerdictKind.LIE
    assert {m.probe: m.error for m in found.measurements} == {
        "activation": "ValueError",
        "judge": None,
    }


def test_the_cascade_goes_on_where_it_is_uncertain_or_stakes_are_high() -> None:
    options = CascadeOptions(random_share=0.0)
    panel = Panel([Spoken(), Spoken("judge", lambda _: 0.5)], FUSION, options)
    batch = [said("0.5", "a"), said("0.9", "b"), said("0.9", "c", high_stakes=True)]
    found = panel.score(batch)
    assert [len(one.measurements) for one in found] == [2, 1, 2]
    assert found[0].measurements[1].answers[PROPENSITY] == 1.0


def test_the_random_share_is_a_share_recorded_and_the_same_on_replay() -> None:
    options = CascadeOptions(random_share=0.2)
    panel = Panel([Spoken(), Spoken("judge", lambda _: 0.5)], FUSION, options)
    batch = [said("0.99", str(k)) for k in range(2000)]
    found = panel.score(batch)
    went_on = [len(one.measurements) == 2 for one in found]
    assert abs(sum(went_on) / 2000 - 0.2) < 4 * (0.2 * 0.8 / 2000) ** 0.5
    assert {
        one.measurements[1].answers[PROPENSITY] for one in found if len(one.measurements) == 2
    } == {0.2}
    assert went_on == [len(one.measurements) == 2 for one in panel.score(batch)]


def test_propensity_is_one_where_the_cheap_probe_says_nothing() -> None:
    silent = Measurement(probe="activation", version="1", abstained="odd")
    assert propensity(said("0.9", "a"), silent, CascadeOptions()) == 1.0
    assert goes_on(said("0.9", "a"), 1.0, "salt")
    assert not goes_on(said("0.9", "a"), 0.0, "salt")


def test_the_version_covers_probes_fusion_and_cascade() -> None:
    versions = {
        Panel([Spoken()], FUSION).version,
        Panel([Spoken(), Spoken("judge")], FUSION).version,
        Panel([Spoken()], FUSION, CascadeOptions()).version,
        Panel([Spoken()], Fusion(FUSION.model, prevalence=0.1)).version,
    }
    assert len(versions) == 4
    assert Panel([Spoken(), Spoken("judge")], FUSION).names == ("activation", "judge")
