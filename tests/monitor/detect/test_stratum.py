"""Detection as a fold over the verdict log: batching, references, latches, evaluators, what an alarm says."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import Alarm, AlarmSubject, BadInputError, VerdictKind
from evidence.records import LoggedVerdict
from monitor.detect.options import DetectionOptions
from monitor.detect.records import (
    METRICS,
    Reference,
    StratumState,
    decode_state,
    encode_state,
)
from monitor.detect.stratum import advance, close, freeze, new_state, rebase, status, thaw

STRATUM = "helpdesk/billing/normal"
REFERENCES = (
    "reference",
    "evasion_reference",
    "worst_case_reference",
    "own_actions_reference",
)
DECLARED = DetectionOptions(
    false_alarms_per_month=1,
    responses_per_month=2_000,
    **dict.fromkeys(REFERENCES, 0.1),
    tolerance=0.02,
)
LEARNED = DECLARED.model_copy(update={**dict.fromkeys(REFERENCES), "reference_window": 150})


def entries(
    rates: Sequence[float],
    *,
    seed: int = 5,
    start: int = 1,
    model: str = "m1",
    evaluator: str = "e1",
    failing: float = 0.0,
) -> list[LoggedVerdict]:
    """Verdicts that lie with the given probabilities; a share `failing` is an error."""
    rng = np.random.default_rng(seed)
    made = []
    for i, rate in enumerate(rates):
        lie, failed = bool(rng.random() < rate), bool(rng.random() < failing)
        kind = VerdictKind.LIE if lie else VerdictKind.HONEST
        p_lie = float(np.clip((0.93 if lie else 0.05) + 0.03 * rng.normal(), 0, 1))
        made.append(
            LoggedVerdict(
                log_position=start + 2 * i,
                stratum=STRATUM,
                kind=VerdictKind.ERROR if failed else kind,
                p_lie=None if failed else p_lie,
                p_evasion=None,
                inclusion_probability=0.5,
                model=model,
                evaluator_version=evaluator,
                scored_at_s=1_700_000_000.0 + i,
            )
        )
    return made


def run(
    log: Sequence[LoggedVerdict],
    options: DetectionOptions = DECLARED,
    state: StratumState | None = None,
) -> tuple[StratumState, list[Alarm]]:
    return advance(state or new_state(STRATUM, options=options), log, options=options)


DRIFT = entries([0.03] * 300 + [0.5] * 150)


@pytest.mark.parametrize("options", [DECLARED, LEARNED], ids=["declared", "learned"])
@given(cuts=st.lists(st.integers(0, len(DRIFT)), max_size=12))
@settings(max_examples=12, deadline=None)
def test_batching_changes_nothing(options: DetectionOptions, cuts: list[int]) -> None:
    whole, alarms = run(DRIFT, options)
    state, seen = new_state(STRATUM, options=options), []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(DRIFT)], strict=True):
        state, new = run(DRIFT[start:end], options, decode_state(encode_state(state)))
        seen += new
    assert alarms
    assert state == whole
    assert seen == alarms


def test_entries_already_read_are_passed_over() -> None:
    state, _ = run(DRIFT)
    again, alarms = run(DRIFT[100:], state=state)
    assert again == state
    assert alarms == []


def test_another_stratums_entry_is_refused() -> None:
    with pytest.raises(BadInputError, match="stratum"):
        run([msgspec.structs.replace(DRIFT[0], stratum="helpdesk/other/normal")])


def test_alarm_says_what_it_rests_on() -> None:
    before = entries([0.03] * 300)
    after = entries([0.5] * 150, seed=6, start=1_001, model="m2")
    _, alarms = run([*before, *after])
    alarm = next(a for a in alarms if a.metric == "lie")
    assert alarm.subject is AlarmSubject.STRATUM
    assert alarm.scope == STRATUM
    assert alarm.claim.startswith("the measured score rose")
    assert alarm.log_evidence >= alarm.log_threshold == pytest.approx(np.log(len(METRICS) * 2_000))
    assert 1_001 <= alarm.log_position <= 1_001 + 2 * 40
    since = alarm.details["since"]
    assert since["lower"] <= 1_001 <= since["upper"] + 2
    models = {m["model"]: m for m in alarm.details["models"]}
    assert set(models) == {"m1", "m2"}
    assert models["m2"]["first_log_position"] == 1_001
    assert models["m2"]["lower"] > models["m1"]["upper"]
    by_position = {e.log_position: e for e in (*before, *after)}
    telling = [by_position[p] for p in alarm.details["telling"]]
    assert 0 < len(telling) <= 20
    assert all(e.kind is VerdictKind.LIE for e in telling)
    assert alarm.details["reference"]["source"] == "declared"
    assert msgspec.json.decode(msgspec.json.encode(alarm), type=Alarm) == alarm


def test_alarm_latches_until_closed_and_can_rise_again() -> None:
    state, alarms = run(DRIFT)
    assert sorted(a.metric for a in alarms) == ["lie", "worst_case"]
    more = entries([0.5] * 200, seed=8, start=5_001)
    state, again = run(more, state=state)
    assert again == []
    after = status(state)["lie"]["after_alarm"]
    assert isinstance(after, dict)
    assert after["n"] > 200
    assert after["lower"] < 0.5 < after["upper"]
    state = close(state, "lie", options=DECLARED)
    assert status(state)["lie"]["phase"] == "watching"
    assert status(state)["worst_case"]["phase"] == "alarm"
    state, third = run(entries([0.5] * 100, seed=9, start=9_001), state=state)
    assert [a.metric for a in third] == ["lie"]
    assert third[0].alarm_id not in {a.alarm_id for a in alarms}


def test_closing_what_is_not_latched_is_refused() -> None:
    with pytest.raises(BadInputError, match="no latched"):
        close(new_state(STRATUM, options=DECLARED), "lie", options=DECLARED)


def test_new_model_inherits_the_learned_reference() -> None:
    state, quiet = run(entries([0.03] * 400), LEARNED)
    reference = status(state)["lie"]["reference"]
    assert quiet == []
    state, alarms = run(entries([0.5] * 150, seed=3, start=2_001, model="liar"), LEARNED, state)
    assert {a.metric for a in alarms} == {"lie", "worst_case"}
    assert status(state)["lie"]["reference"] == reference


def test_new_evaluator_never_meets_the_old_reference() -> None:
    state, _ = run(entries([0.03] * 400), LEARNED)
    # The new evaluator reads everything as more dishonest; that is no rise of dishonesty.
    state, alarms = run(entries([0.4] * 149, start=2_001, evaluator="e2"), LEARNED, state)
    assert alarms == []
    assert status(state)["lie"]["phase"] == "learning"
    state, _ = run(entries([0.4], start=4_001, evaluator="e2"), LEARNED, state)
    second = status(state)["lie"]
    assert second["phase"] == "watching"
    assert second["reference"] is not None
    assert second["reference"] > 0.4
    # The old evaluator comes back to its own reference and evidence.
    back, _ = run(entries([0.03], start=6_001), LEARNED, state)
    assert status(back)["lie"]["evaluator_version"] == "e1"
    assert status(back)["lie"]["n"] == 251


def test_rescored_reference_can_be_in_place_before_its_evaluator() -> None:
    state, _ = run(entries([0.03] * 200))
    reference = Reference(value=0.5, source="release", log_position=401)
    state = rebase(
        state, dict.fromkeys(METRICS, reference), options=DECLARED, evaluator_version="e2"
    )
    state, alarms = run(entries([0.4] * 200, start=501, evaluator="e2"), state=state)
    assert alarms == []
    assert status(state)["lie"]["reference"] == 0.5
    assert status(state)["lie"]["reference_source"] == "release"


def test_rebase_restarts_the_evidence_and_keeps_the_latch() -> None:
    state, _ = run(DRIFT)
    person = Reference(value=0.6, source="person", log_position=state.log_position)
    moved = rebase(state, {"lie": person}, options=DECLARED)
    assert status(moved)["lie"]["n"] == 0
    assert status(moved)["lie"]["phase"] == "alarm"
    assert status(moved)["worst_case"] == status(state)["worst_case"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"honesty": Reference(value=0.2, source="person", log_position=1)}, "unknown metric"),
        ({"lie": Reference(value=0.99, source="person", log_position=1)}, "must lie in"),
    ],
)
def test_rebase_refuses(change: dict[str, Reference], what: str) -> None:
    state, _ = run(DRIFT[:10])
    with pytest.raises(BadInputError, match=what):
        rebase(state, change, options=DECLARED)


def test_broken_judge_raises_the_worst_case_and_nothing_else() -> None:
    log = [*entries([0.03] * 300), *entries([0.03] * 200, start=1_001, failing=0.7)]
    _, alarms = run(log)
    assert [a.metric for a in alarms] == ["worst_case"]


def test_frozen_evaluator_moves_nothing_but_the_log_position() -> None:
    state, _ = run(DRIFT[:200])
    frozen = freeze(state, "e1", "canaries fail")
    later, alarms = run(DRIFT[200:], state=frozen)
    assert alarms == []
    assert later.streams == state.streams
    assert later.log_position == DRIFT[-1].log_position
    assert status(later)["lie"]["phase"] == "frozen"
    _, alarms = run(entries([0.5] * 100, start=9_001), state=thaw(later, "e1"))
    assert {a.metric for a in alarms} == {"lie", "worst_case"}


def test_what_was_not_asserted_moves_nothing() -> None:
    fiction = [
        msgspec.structs.replace(e, kind=VerdictKind.NOT_ASSERTED) for e in entries([0.9] * 200)
    ]
    state, alarms = run(fiction)
    assert alarms == []
    assert all(s.detector is not None and s.detector.n == 0 for s in state.streams)


def test_evasion_has_a_detector_of_its_own() -> None:
    log = [
        msgspec.structs.replace(e, kind=VerdictKind.EVASION, p_lie=0.05, p_evasion=0.9)
        for e in entries([0.0] * 100)
    ]
    _, alarms = run(log)
    assert {a.metric for a in alarms} == {"evasion", "worst_case"}


def test_learned_reference_that_nothing_exceeds_is_blind_and_says_so() -> None:
    state, alarms = run(entries([0.0] * 400, failing=1.0), LEARNED)
    assert alarms == []
    assert status(state)["worst_case"]["phase"] == "blind"
    assert status(state)["lie"]["phase"] == "learning"


@pytest.mark.parametrize("reference", [0.0, 0.99])
def test_declared_reference_that_leaves_nothing_to_detect_is_refused(reference: float) -> None:
    options = DECLARED.model_copy(update={"reference": reference, "tolerance": reference / 9})
    with pytest.raises(BadInputError, match="tolerance"):
        new_state(STRATUM, options=options)


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-5], lambda t: t.replace('schema_version":1}', 'schema_version":9}')]
)
def test_unreadable_state_is_refused(spoil: Callable[[str], str]) -> None:
    state, _ = run(DRIFT[:50])
    with pytest.raises(BadInputError, match="state"):
        decode_state(spoil(encode_state(state)))


def test_state_stays_small_however_long_the_log() -> None:
    rng = np.random.default_rng(4)
    sizes: list[int] = []
    state: StratumState | None = None
    for k in range(8):
        log = entries(rng.uniform(0, 0.08, 1_000).tolist(), seed=k, start=1 + 2_000 * k)
        state, _ = run(log, state=state)
        sizes.append(len(encode_state(state)))
    assert max(sizes) < 3 * 4_096
    assert sizes[-1] < sizes[0] + 3_000


def test_null_logs_stay_quiet_within_the_budget() -> None:
    """P(any alarm within T responses) <= T / ARL over all three metrics together."""
    options = DECLARED.model_copy(update=dict.fromkeys(REFERENCES, 0.06))
    rng = np.random.default_rng(9)
    runs, length, alarmed = 40, 400, 0
    for k in range(runs):
        log: list[Any] = entries([0.03] * length, seed=int(rng.integers(1 << 30)) + k)
        alarmed += bool(run(log, options)[1])
    assert alarmed / runs <= length / 2_000 + 2 * np.sqrt(0.2 * 0.8 / runs)


def acting(
    rates: Sequence[float], *, start: int = 1, seen: float = 1.0, kind: VerdictKind | None = None
) -> list[LoggedVerdict]:
    """Honest verdicts, a share `seen` of them of responses with acts to see, contradicted with the given probabilities."""
    rng = np.random.default_rng(29)
    made = []
    for entry, rate in zip(entries([0.0] * len(rates), start=start), rates, strict=True):
        against, visible = bool(rng.random() < rate), bool(rng.random() < seen)
        acts = ("contradicted" if against else "supported") if visible else None
        changed = {} if kind is None else {"kind": kind, "p_lie": None}
        made.append(msgspec.structs.replace(entry, acts=acts, **changed))
    return made


@pytest.mark.parametrize("options", [DECLARED, LEARNED], ids=["declared", "learned"])
def test_acts_that_tools_contradict_raise_an_alarm_of_their_own(options: DetectionOptions) -> None:
    state, alarms = run(acting([0.05] * 200), options)
    assert alarms == []
    state, alarms = run(acting([0.5] * 100, start=1_001), options, state)
    (alarm,) = alarms
    assert alarm.metric == "own_actions"
    assert "tool record contradicts what they say was done" in alarm.claim
    assert (
        status(close(state, "own_actions", options=options))["own_actions"]["phase"] == "watching"
    )


def test_acts_that_were_not_seen_move_nothing() -> None:
    state, _ = run(acting([1.0] * 300, seen=0.0))
    assert status(state)["own_actions"]["n"] == 0
    state, _ = run(acting([0.0] * 100, start=1_001, seen=0.3), state=state)
    n = status(state)["own_actions"]["n"]
    assert isinstance(n, int)
    assert 15 < n < 50


def test_acts_are_read_whatever_the_verdict() -> None:
    for kind in (VerdictKind.NOT_ASSERTED, VerdictKind.UNDECIDED):
        _, alarms = run(acting([1.0] * 40, kind=kind))
        assert "own_actions" in {alarm.metric for alarm in alarms}


def test_a_further_metric_leaves_the_run_length_as_configured() -> None:
    """Each of the metrics has as many times the total as there are metrics, so that together they keep it."""
    state = new_state(STRATUM, options=DECLARED)
    assert len(METRICS) / state.average_run_length == pytest.approx(1 / 2_000)


def test_acts_raise_no_more_false_alarms_than_their_part() -> None:
    options = DECLARED.model_copy(update={"tolerance": 0.0})
    rng = np.random.default_rng(31)
    runs, length, alarmed = 40, 800, 0
    base = entries([0.0] * length)
    for _ in range(runs):
        log = [
            msgspec.structs.replace(e, acts="contradicted" if lies else "supported")
            for e, lies in zip(base, rng.random(length) < 0.1, strict=True)
        ]
        alarmed += "own_actions" in {alarm.metric for alarm in run(log, options)[1]}
    limit = length / (2_000 * len(METRICS))
    assert alarmed / runs <= limit + 2 * (limit * (1 - limit) / runs) ** 0.5
