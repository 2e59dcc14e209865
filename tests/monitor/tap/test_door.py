"""The sidecar's routes have the limits of the API's."""

from __future__ import annotations

import subprocess
import sys

from fastapi.routing import iter_route_contexts

from monitor.http.routes import DoorRoute
from tests.monitor.tap.test_app import Tap, broker, tap

__all__ = ["broker", "tap"]


def test_every_route_has_the_door(tap: Tap) -> None:
    """The same limits as the API's, and no parameter that is passed over in silence."""
    tried = 0
    for found in iter_route_contexts(tap.client.app.routes):  # type: ignore[attr-defined]
        assert isinstance(found.original_route, DoorRoute), found.path
        for method in found.methods or ():
            assert tap.client.request(method, f"{found.path}?x=1").status_code == 422
            if method == "POST":
                headers = {"content-type": "application/json"}
                large = tap.client.post(found.path, content=b" " * 20_001, headers=headers)
                assert large.status_code == 413
            tried += 1
    assert tried == 7


def test_it_loads_no_model_library() -> None:
    code = "import sys, monitor.tap.app, monitor.cli.tap; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert not {"torch", "transformers", "sklearn", "scipy"} & loaded
