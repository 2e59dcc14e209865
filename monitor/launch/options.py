from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from evidence.options import Options


class RetrainOptions(Options):
    """When confirm runs start and what they may train."""

    trigger: Literal["off", "propose", "auto"] = "auto"
    """`off`: never; `propose`: record the run and wait for a person; `auto`: start it on an alarm."""
    debounce_s: float = Field(default=300.0, ge=0)
    """A run waits this long after its alarm, so that alarms that come together start one run."""
    daily_budget: int = Field(default=4, ge=0)
    """Confirm runs that may start within 24 hours."""
    models: tuple[Path, ...] = ()
    """Model folders that a confirm run may train; a run on any other is refused."""
    work_dir: Path = Path("var/confirm")
    """Where runs keep rows, adapters and reports."""
    signing_key_file: Path | None = None
    """Private key (ed25519, PEM) that signs gate decisions; never given to a job."""
