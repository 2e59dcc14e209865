"""Names of the probes, for settings that are read without loading a model."""

from __future__ import annotations

from typing import Literal

Name = Literal["approved", "activation", "judge", "belief", "consistency"]
