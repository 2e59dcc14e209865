"""The guard in a process that has nothing else of Candor, beside a pipeline's own `retrain/`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from gate_values import context, report, row

from candor_guard.rows import write_rows
from retrain.gate import decide
from retrain.policy import Policy
from retrain.signing import generate_keypair, sign

ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"evidence", "probes", "monitor", "torch", "transformers",
                                      "zstandard", "pyarrow", "datasets", "pydantic", "numpy"}:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Blocked())
import retrain.own
assert retrain.own.MINE
import pkgutil, importlib, candor_guard
for module in pkgutil.walk_packages(candor_guard.__path__, "candor_guard."):
    if module.name != "candor_guard.callback":
        importlib.import_module(module.name)
"""


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """In `folder`, which comes before everything that is installed."""
    (folder / "retrain").mkdir(exist_ok=True)
    (folder / "retrain/__init__.py").touch()
    (folder / "retrain/own.py").write_text("MINE = True\n")
    (folder / "job.py").write_text(ALONE + code)
    return subprocess.run(
        [sys.executable, "job.py"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_every_module_is_imported_without_the_rest(tmp_path: Path) -> None:
    done = run(tmp_path, "print('alone')")
    assert (done.returncode, done.stdout) == (0, "alone\n"), done.stderr


def test_a_pipeline_with_a_folder_of_the_same_name_loads_its_rows(tmp_path: Path) -> None:
    rows, now_s = [row(i) for i in range(4)], 1_000_000.0
    private, _ = generate_keypair(tmp_path / "gate.pem")
    decision = decide(
        rows, context(4, at_s=now_s, confirm=report(rows, at_s=now_s)), Policy(), now_s=now_s
    )
    (tmp_path / "decision.json").write_text(sign(decision, private))
    write_rows(tmp_path / "rows.jsonl", rows)
    done = run(
        tmp_path,
        "rows = candor_guard.load_guarded('rows.jsonl', 'decision.json', 'gate.pub',\n"
        "    assistant=candor_guard.ANY_ASSISTANT, revoked=candor_guard.NOT_CHECKED,\n"
        f"    clock=lambda: {now_s})\n"
        "import json; print(json.dumps([len(rows), rows.fingerprint]))",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [4, decision.subject_digest]
