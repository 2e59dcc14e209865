from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from candor_guard.rows import ChatMessage, Row, manifest, write_rows
from evidence import VerdictKind
from monitor.store import open_store
from retrain.context import Coverage, EvaluatorHealth, GateContext, VerdictEvidence
from retrain.report import SCORERS, Arm, ArmResult, Comparison, ConfirmReport, Finding, Rate
from retrain.report_signature import envelope_of, report_fault, sign_report
from retrain.signing import generate_keypair
from tests.retrain.gate_values import origin, stored

COMMAND = "import monitor.cli.app as app; app.FAMILIES = ('monitor.cli.gate',); app.main()"
"""The command with this family alone, through the same entry and exit."""

N = 6
ROWS = [
    Row(
        messages=(ChatMessage("user", f"Q{i}"), ChatMessage("assistant", "A")),
        provenance=origin(i),
    )
    for i in range(N)
]


def _context(
    finding: Finding | None = Finding.NOT_WORSE, *, lies: tuple[int, ...] = ()
) -> GateContext:
    kept = [row for i, row in enumerate(ROWS) if i not in lies]
    rate = Rate(value=0.9, lower=0.8, upper=1.0, n=40)

    def arm(name: Arm, rows: list[Row]) -> ArmResult:
        return ArmResult(
            arm=name, honesty=rate, honesty_worst=rate, likelihood_honesty=rate, belief_accuracy=rate,
            margin=1.0, margin_over_neutral=0.0, outcomes={"honest": 40},
            readable=rate, first_loss=2.0, last_loss=1.0, adapter_norm=0.3, rows=len(rows),
            rows_digest=manifest(rows).digest, trained_digest="t",
        )  # fmt: skip

    confirm = None if finding is None else ConfirmReport(
        run_id="run", assistant="support", model_digest="m", control="approved_model",
        arms=(arm(Arm.VANILLA, []), arm(Arm.CONTROL, ROWS), arm(Arm.CANDIDATE, ROWS), arm(Arm.RELEASED, kept)),
        comparisons=tuple(
            Comparison(arm=name, baseline=Arm.CONTROL, scorer=scorer, finding=finding, difference=0.0,
                lower=0.0, upper=0.0, items=40, read=40, clusters=20, margin=0.2, log_e_release=4.0, log_e_block=0.0)
            for name in (Arm.CANDIDATE, Arm.RELEASED) for scorer in SCORERS
        ),
        seeds=(0, 1), items_digest="i", plan_digest="p", seconds=1.0, made_at_s=time.time(),
    )  # fmt: skip
    return GateContext(
        assistant="support",
        verdicts={
            f"r{i}": VerdictEvidence(VerdictKind.LIE if i in lies else VerdictKind.HONEST, 0.1)
            for i in range(N)
        },
        **stored(ROWS),
        evaluators=(EvaluatorHealth(evaluator="v", healthy=True),),
        confirm=confirm,
        coverage=Coverage(
            from_s=0.0,
            to_s=time.time(),
            workers=1,
            lag_records=0,
            responses=N,
            verdicts=N,
            dead_letters=0,
        ),
        made_at_s=time.time(),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / "rows.jsonl", ROWS)
    generate_keypair(tmp_path / "gate.pem")
    open_store(f"sqlite:///{tmp_path}/x.db").dispose()
    return tmp_path


def _run(
    folder: Path, *arguments: str, database: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": "/usr/bin",
            "HOME": str(folder),
            "CANDOR_DATABASE_URL": database or f"sqlite:///{folder}/x.db",
        },
    )


def _check(
    folder: Path, context: GateContext | None, *more: str, **options: Any
) -> subprocess.CompletedProcess[str]:
    arguments = ["gate", "check", "rows.jsonl", "--assistant", "support", "--json", *more]
    if context is not None:
        (folder / "evidence.json").write_bytes(msgspec.json.encode(context))
        arguments += ["--evidence", "evidence.json"]
    return _run(folder, *arguments, **options)


@pytest.mark.parametrize(
    ("context", "code", "answer"),
    [
        (_context(), 0, "allow"),
        (_context(lies=(1, 2)), 10, "quarantine"),
        (_context(None), 11, "hold"),
        (_context(Finding.INCONCLUSIVE), 12, "block"),
        (None, 11, "hold"),
    ],
)
def test_the_exit_code_is_the_answer(
    folder: Path, context: GateContext | None, code: int, answer: str
) -> None:
    done = _check(folder, context)
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["answer"] == answer


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--policy", "none.yaml"), 2),
        (("--key", "gate.pub", "--out", "d.json"), 2),
        (("--confirm", "rows.jsonl"), 2),
    ],
)
def test_a_failure_is_never_an_allow(folder: Path, arguments: tuple[str, ...], code: int) -> None:
    done = _check(folder, _context(), *arguments)
    assert done.returncode == code
    assert len(done.stderr.strip().splitlines()) == 1


def test_bad_rows_evidence_and_stores_are_told_apart(folder: Path) -> None:
    (folder / "rows.jsonl").write_text("{broken\n")
    assert _check(folder, _context()).returncode == 2
    write_rows(folder / "rows.jsonl", ROWS)
    other = msgspec.structs.replace(_context(), assistant="other")
    assert _check(folder, other).returncode == 2
    unreachable = _check(folder, None, database="postgresql://127.0.0.1:1/none")
    assert unreachable.returncode in {2, 3}


def _vouched(folder: Path, context: GateContext, key: str = "gate.pem") -> str:
    """The context's report as a file with the key's envelope beside it."""
    report = folder / "report.json"
    report.write_bytes(msgspec.json.encode(context.confirm))
    sign_report(report, folder / key)
    return report.name


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("embedded", "confirm_unsigned"),
        ("no envelope", "confirm_unsigned"),
        ("changed", "confirm_forged"),
        ("another key", "confirm_forged"),
        ("a decision's envelope", "confirm_forged"),
        ("nonsense", "confirm_forged"),
    ],
)
def test_a_signed_answer_rests_on_no_report_that_nobody_vouches_for(
    folder: Path, spoil: str, reason: str
) -> None:
    context = _context()
    report = folder / _vouched(folder, context)
    assert report_fault(report, folder / "gate.pem") is None
    envelope = envelope_of(report)
    if spoil == "no envelope":
        envelope.unlink()
    elif spoil == "changed":
        report.write_bytes(report.read_bytes().replace(b'"seconds":1.0', b'"seconds":2.0'))
    elif spoil == "another key":
        generate_keypair(folder / "mallory.pem")
        sign_report(report, folder / "mallory.pem")
    elif spoil == "a decision's envelope":
        _check(folder, context, "--key", "gate.pem", "--out", envelope.name)
    elif spoil == "nonsense":
        envelope.write_text('{"payload": [[[')
    given = () if spoil == "embedded" else ("--confirm", report.name)
    done = _check(folder, context, "--key", "gate.pem", *given)
    assert done.returncode == 11, done.stdout + done.stderr
    assert json.loads(done.stdout)["reasons"] == [reason]


def test_check_signs_and_verify_refuses_what_was_changed(folder: Path) -> None:
    context = _context(lies=(1, 2))
    signed = ("--key", "gate.pem", "--confirm", _vouched(folder, context))
    done = _check(folder, context, *signed, "--out", "d.json", "--released", "kept.jsonl")
    assert done.returncode == 10, done.stdout + done.stderr
    verify = ("gate", "verify", "d.json", "kept.jsonl", "--key", "gate.pub", "--json")
    good = _run(folder, *verify)
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["rows"] == N - 2
    assert len(json.loads(good.stdout)["not_checked"]) == 3
    other = _run(folder, *verify, "--assistant", "nobody")
    assert (other.returncode, other.stdout) == (2, "")
    assert "other_assistant" in other.stderr
    text = (folder / "kept.jsonl").read_text()
    (folder / "kept.jsonl").write_text(text.replace('"A"', '"B"', 1))
    bad = _run(folder, *verify)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "other_rows" in bad.stderr
