"""What a guarded job leaves beside its weights, and what `candor gate attest` makes of it."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import trl
from gate_values import ASSISTANT, context, report, row
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from candor_guard import GuardCallback, GuardedRows, RefusedError, attest, load_guarded
from candor_guard.errors import BadInputError
from candor_guard.stamp import STAMP, write_stamp
from candor_guard.trackers import tag_runs
from monitor.cli import main
from retrain.gate import decide
from retrain.policy import Policy
from retrain.signing import generate_keypair, sign

pytestmark = [pytest.mark.model]

ROWS = [row(i) for i in range(4)]
NOW = 1_000_000.0


class Job:
    """A guarded SFT job of four steps, one row each."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.private, self.key = generate_keypair(folder / "gate.pem")
        decision = decide(
            ROWS, context(4, at_s=NOW, confirm=report(ROWS, at_s=NOW)), Policy(), now_s=NOW
        )
        (folder / "decision.json").write_text(sign(decision, self.private))
        self.revoked, self.now_s = folder / "revoked.json", NOW
        self.revoked.write_text("[]")
        self.decision_id = decision.decision_id

    def rows(self) -> GuardedRows:
        return load_guarded(
            ROWS,
            self.folder / "decision.json",
            self.key,
            assistant=ASSISTANT,
            revoked=self.revoked,
            clock=lambda: self.now_s,
        )

    def revoke(self) -> None:
        self.revoked.write_text(json.dumps([self.decision_id]))

    def trainer(self, *callbacks: TrainerCallback) -> Any:
        rows = self.rows()
        guarding = GuardCallback(rows, recheck_steps=2)
        return trl.SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(str(self.model)),
            train_dataset=rows.dataset(),
            processing_class=AutoTokenizer.from_pretrained(str(self.model)),
            callbacks=[*callbacks, guarding],
            args=trl.SFTConfig(
                output_dir=str(self.folder / "out"),
                per_device_train_batch_size=1,
                num_train_epochs=1,
                report_to="none",
                save_steps=2,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                disable_tqdm=True,
            ),
        )


class At(TrainerCallback):
    """Does something after a step."""

    def __init__(self, step: int, act: Any) -> None:
        self.step, self.act, self.reached = step, act, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.reached = state.global_step
        if state.global_step == self.step:
            self.act()


@pytest.fixture
def job(tmp_path: Path, tiny_model: Path) -> Job:
    return Job(tmp_path, tiny_model)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[Job, Path]:
    """A job that ended, and the folder that `save_model` wrote."""
    job = Job(tmp_path_factory.mktemp("job"), tiny_model)
    trainer = job.trainer()
    trainer.train()
    final = job.folder / "final"
    final.mkdir()
    (final / "README.md").write_text("# A model\n")
    trainer.save_model(str(final))
    return job, final


@pytest.fixture
def final(trained: tuple[Job, Path], tmp_path: Path) -> Path:
    """A copy of the final folder, to be changed."""
    return Path(shutil.copytree(trained[1], tmp_path / "final"))


def test_checkpoints_and_the_saved_model_are_stamped(trained: tuple[Job, Path]) -> None:
    job, final = trained
    for folder, steps in ((job.folder / "out/checkpoint-2", 2), (final, 4)):
        found = attest(folder, job.key)
        assert found.decision.decision_id == job.decision_id
        assert (found.stamp.steps, found.stamp.rows, found.stamp.released_rows) == (steps, 4, 4)
        assert found.stamp.weights.keys() == {"model.safetensors"}
    card = (final / "README.md").read_text()
    assert card.startswith("# A model\n")
    assert job.decision_id in card
    write_stamp(final, found.stamp)
    assert (final / "README.md").read_text() == card


def test_a_stamped_model_is_loaded_and_saved_elsewhere_without_a_stamp(
    trained: tuple[Job, Path], tmp_path: Path
) -> None:
    """Weights that were only loaded may have been changed since."""
    AutoModelForCausalLM.from_pretrained(str(trained[1])).save_pretrained(tmp_path / "copy")
    with pytest.raises(RefusedError, match="no_stamp"):
        attest(tmp_path / "copy", trained[0].key)


def test_weights_that_are_trained_on_without_the_guard_are_saved_without_a_stamp(job: Job) -> None:
    trainer = job.trainer()
    trainer.train()
    with torch.no_grad():
        next(trainer.model.parameters()).add_(0.1)
    trainer.save_model(str(job.folder / "later"))
    with pytest.raises(RefusedError, match="no_stamp"):
        attest(job.folder / "later", job.key)
    copied = copy.deepcopy(trainer.model)
    copied.save_pretrained(job.folder / "copied")
    assert (job.folder / "copied/model.safetensors").is_file()


@pytest.mark.parametrize("change", ["weights", "more", "none"])
def test_other_weights_under_a_stamp_are_refused(
    change: str, trained: tuple[Job, Path], final: Path
) -> None:
    weights = final / "model.safetensors"
    if change == "weights":
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    elif change == "more":
        shutil.copy(weights, final / "adapter_model.safetensors")
    else:
        weights.unlink()
    with pytest.raises(RefusedError, match="other_weights"):
        attest(final, trained[0].key)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("decision_id", "other", "malformed"),
        ("overridden", True, "malformed"),
        ("envelope", "{}", "malformed"),
        ("stamped_at_s", NOW + 400 * 86_400, "expired"),
        ("stamped_at_s", 9e9, "not_yet_valid"),
    ],
)
def test_a_stamp_that_says_other_than_its_decision_is_refused(
    field: str, value: Any, code: str, trained: tuple[Job, Path], final: Path
) -> None:
    told = json.loads((final / STAMP).read_text())
    (final / STAMP).write_text(json.dumps({**told, field: value}))
    with pytest.raises(RefusedError, match=code):
        attest(final, trained[0].key)


def test_another_key_did_not_sign_the_stamp(trained: tuple[Job, Path], tmp_path: Path) -> None:
    _, other = generate_keypair(tmp_path / "other.pem")
    with pytest.raises(RefusedError, match="bad_signature"):
        attest(trained[1], other)
    with pytest.raises(BadInputError, match="no such folder"):
        attest(tmp_path / "none", other)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`candor gate attest` with these arguments; its exit code."""

    def run(*arguments: Any) -> int:
        monkeypatch.setattr(sys, "argv", ["candor", "gate", "attest", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def test_the_command_tells_a_stamp_from_none_and_from_a_revoked_one(
    trained: tuple[Job, Path],
    final: Path,
    tmp_path: Path,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    job, _ = trained
    asked = (final, "--key", job.key)
    assert command(*asked, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["valid"], told["decision_id"]) == (True, job.decision_id)
    revoked = tmp_path / "revoked.json"
    revoked.write_text(json.dumps([job.decision_id]))
    assert command(*asked, "--revoked", revoked) == 14
    assert "was revoked" in capsys.readouterr().err
    assert command(*asked, "--revoked", tmp_path / "none.json") == 2
    (final / "model.safetensors").write_bytes(b"other")
    assert command(*asked) == 2
    (final / STAMP).unlink()
    capsys.readouterr()
    assert command(*asked, "--json") == 13
    assert json.loads(capsys.readouterr().out)["code"] == "no_stamp"


@pytest.mark.parametrize("step", [1, 3])
def test_a_decision_that_is_revoked_while_it_is_trained_stops_the_trainer(
    step: int, job: Job
) -> None:
    revoking = At(step, job.revoke)
    trainer = job.trainer(revoking)
    with pytest.raises(RefusedError, match="revoked"):
        trainer.train()
    assert revoking.reached == step + 1
    trainer.save_model(str(job.folder / "final"))
    with pytest.raises(RefusedError, match="no_stamp"):
        attest(job.folder / "final", job.key)


def test_a_decision_that_is_revoked_after_the_last_step_leaves_no_stamp(job: Job) -> None:
    class AtEnd(TrainerCallback):
        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            job.revoke()

    trainer = job.trainer(AtEnd())
    with pytest.raises(RefusedError, match="revoked"):
        trainer.train()


def test_a_decision_that_expires_while_it_is_trained_stops_the_trainer(job: Job) -> None:
    def late() -> None:
        job.now_s = NOW + Policy().expiry_s

    with pytest.raises(RefusedError, match="expired"):
        job.trainer(At(1, late)).train()


@pytest.mark.parametrize("options", [{"recheck_steps": 0}, {"least_share": 0}, {"least_share": 2}])
def test_options_out_of_range_are_bad_input(options: dict[str, Any], job: Job) -> None:
    with pytest.raises(BadInputError, match=next(iter(options))):
        GuardCallback(job.rows(), **options)


def test_open_runs_of_trackers_are_tagged(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tracker is installed here: the doubles have the calls that their documentation names."""
    told: dict[str, Any] = {}
    run = types.SimpleNamespace(tags=("a",), config=types.SimpleNamespace())
    run.config.update = lambda tags, allow_val_change: told.update(wandb=tags)
    mlflow = types.SimpleNamespace(
        active_run=object, set_tags=lambda tags: told.update(mlflow=tags)
    )
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(run=run))
    tag_runs(job.rows().decision)
    assert told["mlflow"] == told["wandb"]
    assert told["mlflow"]["candor.decision_id"] == job.decision_id
    assert run.tags == ("a", "candor")


def test_a_tracker_that_fails_is_named_and_stops_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(tags: dict[str, str]) -> None:
        raise ConnectionError("no server")

    monkeypatch.setitem(
        sys.modules, "mlflow", types.SimpleNamespace(active_run=object, set_tags=fails)
    )
    with caplog.at_level(logging.WARNING):
        tag_runs(job.rows().decision)
    assert "the run of mlflow was not tagged: ConnectionError: no server" in caplog.text
