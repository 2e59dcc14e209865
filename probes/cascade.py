"""Which responses get the dearer probes: the uncertain, the high-stakes, and a random share."""

from __future__ import annotations

import hashlib

from pydantic import Field

from evidence import Measurement
from evidence.options import Options
from probes.probe import Transcript


class CascadeOptions(Options):
    """When a response goes on from the cheap probe to the dearer ones."""

    uncertain_from: float = Field(default=0.35, ge=0, le=1)
    """Lower end of the band of the cheap probe's p_lie that counts as uncertain."""
    uncertain_to: float = Field(default=0.65, ge=0, le=1)
    """Upper end of that band."""
    random_share: float = Field(default=0.05, ge=0, le=1)
    """Share of all responses that get the dearer probes whatever the cheap one says."""


def propensity(transcript: Transcript, cheap: Measurement | None, options: CascadeOptions) -> float:
    """Probability that the dearer probes run on this response, given what the cheap one found."""
    if transcript.high_stakes or cheap is None or cheap.p_lie is None:
        return 1.0
    uncertain = options.uncertain_from <= cheap.p_lie <= options.uncertain_to
    return 1.0 if uncertain else options.random_share


def goes_on(transcript: Transcript, chance: float, salt: str) -> bool:
    """Whether the dearer probes run: a hash of the id against `chance`, the same on every replay."""
    data = f"{salt}\x00{transcript.id}".encode("utf-8", "surrogatepass")
    u = int.from_bytes(hashlib.sha256(data).digest()[:7], "big") / 2.0**56
    return u < chance
