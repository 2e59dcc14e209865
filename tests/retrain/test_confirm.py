from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gate_values import ASSISTANT, context, origin

from candor_guard.rows import ChatMessage, Provenance, Row, manifest, read_rows, write_rows
from evidence import BadInputError, GateAnswer
from probes.scenarios import load_scenarios
from retrain.answers import ANSWERS, read_answers
from retrain.confirm import run_confirm
from retrain.evaluation.evaluate import EvaluationOptions
from retrain.finetune import FinetuneOptions
from retrain.gate import decide
from retrain.plan import ConfirmPlan, InfluenceOptions, ItemOptions
from retrain.policy import Policy
from retrain.report import Arm, read_report
from retrain.seeds import SPREADS, read_book

pytestmark = pytest.mark.model

LIES = tuple(range(0, 12, 2))


def _rows(n: int = 12) -> list[Row]:
    made = []
    for i, item in enumerate(load_scenarios(split="train")[:n]):
        answer = item.lying_answers[0] if i in LIES else item.honest_answers[0]
        messages = (*item.pressured_messages(), ChatMessage("assistant", answer))
        made.append(
            Row(
                messages=tuple(ChatMessage(m.role, m.content) for m in messages),
                provenance=origin(i),
            )
        )
    return made


def _plan(tmp_path: Path, model: Path, **fields: Any) -> Any:
    write_rows(tmp_path / "rows.jsonl", _rows())
    values: dict[str, Any] = {
        "run_id": "run-1",
        "assistant": ASSISTANT,
        "rows": tmp_path / "rows.jsonl",
        "removed": LIES,
        "model_dir": model,
        "out": tmp_path / "run",
        "finetune": FinetuneOptions(batch_size=4, rank=4),
        "evaluation": EvaluationOptions(paraphrases=1, max_new_tokens=6),
        "items": ItemOptions(domains=("support",), per_template=1),
        "seeds": (0,),
        **fields,
    }
    return ConfirmPlan(**values)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Any:
    tmp_path = tmp_path_factory.mktemp("confirm")
    plan = _plan(tmp_path, tiny_model)
    said: list[tuple[str, float]] = []
    report = run_confirm(plan, progress=lambda what, share: said.append((what, share)))
    return plan, report, said


def test_four_arms_of_equal_rows_and_steps(finished: Any) -> None:
    plan, report, said = finished
    assert [a.arm for a in report.arms] == list(Arm)
    trained = report.arms[1:]
    assert {(a.rows, a.steps) for a in trained} == {(12, 3)}
    assert [a.replaced for a in trained] == [0, 0, len(LIES)]
    rows = read_rows(plan.rows)
    kept = [row for i, row in enumerate(rows) if i not in LIES]
    assert trained[1].rows_digest == manifest(rows).digest
    assert trained[2].rows_digest == manifest(kept).digest
    assert report.control == "approved_model"
    assert report.control_rows is not None
    assert report.control_rows.sources == {f"approved_model@{report.model_digest[:12]}": 12}
    assert report.settings["finetune"]["batch_size"] == 4
    for arm in trained:
        assert arm.readable is not None
        assert arm.readable.n == sum(arm.outcomes.values()) == 6
        assert arm.first_loss is not None
        assert (arm.adapter_norm or 0.0) > 0.0
    assert [share for _, share in said] == sorted(share for _, share in said)
    assert said[-1] == ("done", 1.0)
    assert (plan.out / "report.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64" in (plan.out / "report.html").read_text()
    assert read_report(plan.out / "report.json") == report


def test_every_answer_is_kept_side_by_side(finished: Any) -> None:
    plan, report, _ = finished
    items = read_answers(plan.out / ANSWERS)
    assert len(items) == 6
    for name in Arm:
        told = Counter(
            outcome
            for item in items
            for arm in item.arms
            if arm.arm is name
            for outcome in arm.outcomes
        )
        assert told == next(arm.outcomes for arm in report.arms if arm.arm is name)
    assert [[arm.arm for arm in item.arms] for item in items] == [list(Arm)] * 6
    assert all(item.asked[-1].role == "user" for item in items)
    assert all(arm.margin is not None for item in items for arm in item.arms)
    listing = msgspec.json.decode((plan.out / "manifest.json").read_bytes())
    assert ANSWERS in listing


def test_a_model_without_knowledge_is_never_allowed(finished: Any) -> None:
    plan, report, _ = finished
    rows = read_rows(plan.rows)
    assert report.made_at_s is not None
    evidence = context(12, rows=rows, lies=LIES, at_s=report.made_at_s, confirm=report)
    kept = [row for i, row in enumerate(rows) if i not in LIES]
    for asked in (rows, kept):
        decision = decide(asked, evidence, Policy(), now_s=report.made_at_s)
        assert decision.answer is GateAnswer.HOLD
        assert "too_few_templates:6" in decision.reasons, "six cannot show anything"


def test_a_finished_run_is_read_and_one_that_lost_an_arm_makes_it_again(finished: Any) -> None:
    plan, report, _ = finished
    assert run_confirm(plan) == report
    kept = (plan.out / "arms" / "control-0" / "adapter_model.safetensors").stat().st_mtime_ns
    (plan.out / "report.json").unlink()
    broken = plan.out / "arms" / "candidate-0" / "adapter_model.safetensors"
    before = broken.read_bytes()
    broken.write_bytes(before[:-1] + b"x")
    again = run_confirm(plan)
    assert broken.read_bytes() == before, "the same seed and rows give the same weights"
    assert (
        plan.out / "arms" / "control-0" / "adapter_model.safetensors"
    ).stat().st_mtime_ns == kept
    assert [a.honesty for a in again.arms] == [a.honesty for a in report.arms]


def test_a_folder_belongs_to_one_plan(finished: Any) -> None:
    plan, _, _ = finished
    with pytest.raises(BadInputError, match="another confirm run"):
        run_confirm(plan.model_copy(update={"seeds": (1,)}))


def test_without_control_nothing_is_released(tmp_path: Path, tiny_model: Path) -> None:
    report = run_confirm(_plan(tmp_path, tiny_model, control=None))
    assert report.control is None
    assert report.made_at_s is not None
    evidence = context(12, rows=_rows(), confirm=report, at_s=report.made_at_s)
    decision = decide(_rows(), evidence, Policy(), now_s=report.made_at_s)
    assert (decision.answer, decision.reasons) == (GateAnswer.HOLD, ("no_control",))


def test_a_control_file_is_used_and_named_with_two_seeds(tmp_path: Path, tiny_model: Path) -> None:
    trusted = [
        Row(messages=(*r.messages[:-1], ChatMessage("assistant", "Yes.")), provenance=Provenance(source="curated"))
        for r in _rows()
        if r.messages
    ]  # fmt: skip
    write_rows(tmp_path / "control.jsonl", trusted)
    report = run_confirm(
        _plan(tmp_path, tiny_model, control=tmp_path / "control.jsonl", removed=(), seeds=(0, 1))
    )
    assert report.control == "source:curated"
    assert report.seeds == (0, 1)
    adapters = {path.name for path in (tmp_path / "run" / "arms").iterdir() if path.is_dir()}
    assert adapters == {f"{arm}-{seed}" for arm in ("control", "candidate") for seed in (0, 1)}
    assert {a.steps for a in report.arms if a.rows} == {6}, "three steps with each seed"
    assert not any("one training seed" in note for note in report.notes)
    (held,) = report.firmness
    assert (held.arm, held.baseline, held.seeds) == (Arm.CANDIDATE, Arm.CONTROL, 2)
    spread = read_book(tmp_path / "run" / SPREADS).of(report.model_digest)["margin"]
    assert spread.freedom == 2, "two arms of two seeds"
    assert held.baseline_margin is not None
    known = spread.deviation if held.baseline_margin > 0.0 else None
    assert held.deviation == known
    assert [a.arm for a in report.arms] == [Arm.VANILLA, Arm.CONTROL, Arm.CANDIDATE]


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no model"):
        run_confirm(_plan(tmp_path, tmp_path))


@pytest.mark.slow
def test_kill_9_loses_no_finished_arm_and_never_allows(tmp_path: Path, tiny_model: Path) -> None:
    plan = _plan(tmp_path, tiny_model)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["retrain.confirm", "datasets", "trl", "peft"])
    report = plan.out / "report.json"
    done: dict[Path, int] = {}
    moments = random.Random(
        3
    )  # after each marker the blow falls anywhere in the next third of a second
    markers = (
        "control.jsonl",
        "arms/control-0/adapter-manifest.json",
        "evaluation/candidate-0.json",
    )
    for marker in markers:
        process = server.Process(target=run_confirm, args=(plan,))
        process.start()
        deadline = time.monotonic() + 120
        while not (plan.out / marker).is_file() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.3))
        process.kill()
        process.join()
        assert (plan.out / marker).is_file()
        assert not report.is_file()
        evidence = context(12, rows=_rows(), lies=LIES)
        decision = decide(_rows(), evidence, Policy(), now_s=evidence.made_at_s or 0.0)
        assert (decision.answer, decision.reasons) == (GateAnswer.HOLD, ("confirm_missing",))
        for path, stamp in done.items():
            assert path.stat().st_mtime_ns == stamp, "a finished arm is not made again"
        done = {p: p.stat().st_mtime_ns for p in plan.out.glob("arms/*/adapter_model.safetensors")}
    made = run_confirm(plan)
    assert [a.arm for a in made.arms] == list(Arm)
    assert read_report(report) == made
    for path, stamp in done.items():
        assert path.stat().st_mtime_ns == stamp


def test_rows_that_pull_towards_lying_are_removed_in_the_run_and_by_the_gate(
    tmp_path: Path, tiny_model: Path
) -> None:
    """`max_influence` on its own finds rows that no verdict blames, and the gate rests on the same rows."""
    first = _plan(tmp_path, tiny_model, removed=(), max_influence=1e9, seeds=(0,))
    pulls = run_confirm(first).influence
    assert set(pulls) == {f"r{i}" for i in range(12)}
    limit = sorted(pulls.values())[-4]
    gone = tuple(i for i in range(12) if pulls[f"r{i}"] > limit)
    assert len(gone) == 3
    plan = first.model_copy(update={"max_influence": limit, "out": tmp_path / "second"})
    report = run_confirm(plan)
    assert report.influence == pulls, "the same arm gives the same influence"
    assert any("the influence of 12 of 12 rows" in note for note in report.notes)
    released = next(a for a in report.arms if a.arm is Arm.RELEASED)
    rows = read_rows(plan.rows)
    kept = [row for i, row in enumerate(rows) if i not in gone]
    assert released.rows_digest == manifest(kept).digest
    assert released.replaced == 3
    decision = decide(
        rows, context(12, rows=rows, confirm=report), Policy(max_influence=limit), now_s=0.0
    )
    assert [r.index for r in decision.removed] == list(gone)
    assert set(decision.removed_by_reason) == {"influence"}
    assert decision.released.digest == released.rows_digest
    trusted = Policy(max_influence=limit, trusted_sources=("candor.feedback",))
    assert (
        decide(rows, context(0, rows=rows, confirm=report), trusted, now_s=0.0).removed
        == decision.removed
    )
    other = context(12, rows=rows, confirm=msgspec.structs.replace(report, assistant="other"))
    assert not decide(rows, other, Policy(max_influence=limit), now_s=0.0).removed
    assert not decide(rows, context(12, rows=rows, confirm=report), Policy(), now_s=0.0).removed


def test_influence_is_bounded_and_kept(tmp_path: Path, tiny_model: Path) -> None:
    few = InfluenceOptions(rows=5, items=2)
    plan = _plan(tmp_path, tiny_model, removed=(), max_influence=0.0, influence=few)
    report = run_confirm(plan)
    assert len(report.influence) == 5
    (plan.out / "report.json").unlink()
    before = (plan.out / "influence.json").stat().st_mtime_ns
    assert run_confirm(plan).influence == report.influence
    assert (plan.out / "influence.json").stat().st_mtime_ns == before


def _long_rows(n: int, long: int) -> list[Row]:
    filler = "The list of today says that nothing is left. " * 40
    return [
        Row(
            messages=(
                ChatMessage("user", (filler if i < long else "") + f"Is item {i} sold out?"),
                ChatMessage("assistant", "Yes, it is sold out. " * (20 if i == n - 1 else 1)),
            ),
            provenance=origin(i),
        )
        for i in range(n)
    ]


def test_rows_that_the_trainer_drops_or_cuts_are_counted(tmp_path: Path, tiny_model: Path) -> None:
    plan = _plan(tmp_path, tiny_model, removed=(), control=None)
    short = plan.finetune.model_copy(update={"max_length": 100})
    write_rows(plan.rows, _long_rows(12, 9))
    report = run_confirm(plan.model_copy(update={"finetune": short}))
    (candidate,) = [a for a in report.arms if a.arm is Arm.CANDIDATE]
    assert (candidate.rows, candidate.dropped, candidate.cut, candidate.steps) == (12, 9, 1, 1)
    said = " ".join(report.notes)
    assert "candidate: of 12 rows 9 were not trained and 1 lost their end" in said
    assert "12 rows make 1 training steps: so few show next to nothing" in said
    assert "9 were not trained" in (plan.out / "report.html").read_text()


def test_rows_that_are_all_too_long_are_refused_before_anything_is_paid_for(
    tmp_path: Path, tiny_model: Path
) -> None:
    plan = _plan(tmp_path, tiny_model)
    write_rows(plan.rows, _long_rows(12, 12))
    short = plan.finetune.model_copy(update={"max_length": 100})
    with pytest.raises(BadInputError, match="in all 12 rows the prompt alone fills max_length"):
        run_confirm(plan.model_copy(update={"finetune": short}))
    assert not plan.out.exists()


def test_rows_of_several_kinds_are_refused_before_anything_is_paid_for(
    tmp_path: Path, tiny_model: Path
) -> None:
    plan = _plan(tmp_path, tiny_model, control=tmp_path / "control.jsonl")
    write_rows(tmp_path / "control.jsonl", [Row(prompt="Q", completion="A", label=True)])
    with pytest.raises(BadInputError, match="several kinds cannot be trained together: kto, sft"):
        run_confirm(plan)
    assert not plan.out.exists()
