"""Threads that first decode a class at the same time."""

from __future__ import annotations

import subprocess
import sys

_RACE = """
import sys, threading
import msgspec
from evidence.structs import build_types

sys.setswitchinterval(1e-6)
data = b'{"held": {"parts": [{"a": "x", "b": [1]}], "last": null}}'
for _ in range(60):
    part = msgspec.defstruct("Part", [("a", "str | None", None), ("b", "list[int] | None", None)])
    held = msgspec.defstruct("Held", [("parts", list[part] | None, None), ("last", part | None, None)])
    whole = msgspec.defstruct("Whole", [("held", held)])
    if BUILD:
        build_types()
    barrier = threading.Barrier(16)

    def run():
        barrier.wait()
        msgspec.json.decode(data, type=whole)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("done")
"""


def test_threads_may_decode_a_new_class_once_its_types_are_built() -> None:
    code = _RACE.replace("BUILD", "True")
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout) == (0, "done\n"), made.stderr
