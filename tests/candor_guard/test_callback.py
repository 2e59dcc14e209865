from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import datasets
import pytest
import trl
from gate_values import ASSISTANT, context, report, row
from transformers import AutoModelForCausalLM, AutoTokenizer

from candor_guard import NOT_CHECKED, GuardedRows, RefusedError, load_guarded
from candor_guard.callback import GuardCallback
from candor_guard.rows import parse_row, write_rows
from retrain.finetune import FinetuneOptions, finetune
from retrain.gate import decide
from retrain.policy import Policy
from retrain.signing import generate_keypair, sign

pytestmark = [pytest.mark.model]

ROWS = [row(i) for i in range(4)]
NOW = 1_000_000.0


@pytest.fixture
def guarded(tmp_path: Path) -> tuple[GuardedRows, list[float]]:
    private, public = generate_keypair(tmp_path / "gate.pem")
    decision = decide(
        ROWS, context(4, at_s=NOW, confirm=report(ROWS, at_s=NOW)), Policy(), now_s=NOW
    )
    (tmp_path / "decision.json").write_text(sign(decision, private))
    now = [NOW]
    return load_guarded(
        ROWS,
        tmp_path / "decision.json",
        public,
        assistant=ASSISTANT,
        revoked=NOT_CHECKED,
        clock=lambda: now[0],
    ), now


def _arguments(model: Path, out: Path) -> dict[str, Any]:
    return {
        "processing_class": AutoTokenizer.from_pretrained(str(model)),
        "args": trl.SFTConfig(
            output_dir=str(out),
            per_device_train_batch_size=2,
            num_train_epochs=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            disable_tqdm=True,
        ),
    }


def _train(dataset: Any, guarded: GuardedRows, model: Path, out: Path) -> int:
    trainer = trl.SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(str(model)),
        train_dataset=dataset,
        callbacks=[GuardCallback(guarded)],
        **_arguments(model, out),
    )
    return int(trainer.train().global_step)


def _lie(item: dict[str, Any]) -> dict[str, Any]:
    item["messages"][-1]["content"] = "Yes."
    return item


def test_a_trainer_starts_on_the_released_rows_alone(
    guarded: tuple[GuardedRows, list[float]], tiny_model: Path, tmp_path: Path
) -> None:
    rows, now = guarded
    dataset = rows.dataset()
    assert _train(dataset, rows, tiny_model, tmp_path) == 2
    unmarked = datasets.Dataset.from_list([r.content() for r in ROWS])
    for other in (unmarked, dataset.map(_lie), dataset.select([0, 1])):
        with pytest.raises(RefusedError, match="other_dataset"):
            _train(other, rows, tiny_model, tmp_path)
    now[0] = NOW + Policy().expiry_s
    with pytest.raises(RefusedError, match="expired"):
        _train(dataset, rows, tiny_model, tmp_path)


@pytest.mark.parametrize("kind", ["kto", "dpo"])
def test_arms_of_other_kinds_are_trained(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    prompt = [{"role": "user", "content": "Is it sold out?"}]
    good, bad = (
        [{"role": "assistant", "content": text}] for text in ("Yes, it is.", "No, it is not.")
    )
    data: list[dict[str, Any]] = (
        [{"prompt": prompt, "completion": x, "label": y} for x, y in ((good, True), (bad, False))]
        * 2
        if kind == "kto"
        else [{"prompt": prompt, "chosen": good, "rejected": bad}] * 4
    )
    rows = [parse_row(item, "x") for item in data]
    options = FinetuneOptions(batch_size=2, rank=2)
    made = finetune(rows, tiny_model, tmp_path / "arm", options, model_digest="m", seed=0)
    assert made.steps == 2
    again = finetune(rows, tiny_model, tmp_path / "arm", options, model_digest="m", seed=0)
    assert again == made


def test_a_decision_revoked_after_loading_stops_the_trainer(
    guarded: tuple[GuardedRows, list[float]], tiny_model: Path, tmp_path: Path
) -> None:
    revoked = tmp_path / "revoked.json"
    revoked.write_text("[]")
    rows = load_guarded(
        ROWS,
        tmp_path / "decision.json",
        tmp_path / "gate.pub",
        assistant=ASSISTANT,
        revoked=revoked,
        clock=lambda: NOW,
    )
    revoked.write_text(f'["{rows.decision.decision_id}"]')
    with pytest.raises(RefusedError, match="revoked"):
        _train(rows.dataset(), rows, tiny_model, tmp_path)


def test_the_training_job_of_the_docs_is_guarded_in_five_lines(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block of docs/retrain.md as it stands; the test adds only the trainer's own arguments."""
    page = Path(__file__).parents[2] / "docs" / "retrain.md"
    code = page.read_text().partition("```python\n")[2].partition("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    private, _ = generate_keypair(tmp_path / "gate.pem")
    write_rows(tmp_path / "rows.jsonl", ROWS)
    now_s = time.time()
    evidence = context(4, at_s=now_s, confirm=report(ROWS, at_s=now_s))
    decision = decide(ROWS, evidence, Policy(), now_s=now_s)
    (tmp_path / "decision.json").write_text(sign(decision, private))
    (tmp_path / "revoked.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "SFTTrainer": functools.partial(trl.SFTTrainer, **_arguments(tiny_model, tmp_path)),
        "model": str(tiny_model),
    }
    exec(compile(code, str(page), "exec"), names)  # noqa: S102
    assert len(names["rows"]) == len(ROWS)
    write_rows(tmp_path / "rows.jsonl", [*ROWS[:-1], row(9)])
    with pytest.raises(RefusedError, match="other_rows"):
        exec(compile(code, str(page), "exec"), names)  # noqa: S102
