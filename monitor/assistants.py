"""Settings of the assistants that are watched: their models, judges and sensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from evidence import CANARY_ASSISTANT
from evidence.options import Options
from monitor.ingest.options import OTHER, IngestOptions
from probes.names import Named


class ServerKeyOptions(Options):
    """Where the key of a model server is."""

    api_key_file: Path | None = None
    """File with the key that the server wants as a bearer token, such as that of `vllm serve --api-key`."""
    api_key_variable: str | None = Field(default=None, min_length=1)
    """Name of the environment variable that holds this key; a file or a variable, not both."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.api_key_file is not None and self.api_key_variable is not None:
            raise ValueError("give api_key_file or api_key_variable, not both")
        return self


class JudgeOptions(ServerKeyOptions):
    """The judge model. Without `url` the SmolLM2-135M-Instruct of a wheel judges in process."""

    url: str | None = None
    """Base URL of an OpenAI-compatible server, such as vLLM, ending in `/v1`."""
    model: str | None = None
    """Model name at that server; given with `url`, and only with it."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Time for one call, over all its tries."""


class AssistantOptions(ServerKeyOptions):
    """An assistant: where its versions are served, which one is approved, and what measures it. `[assistants.NAME]` is about the assistant NAME, `[assistant]` about every assistant without a section of its own."""

    segments: tuple[str, ...] = ()
    """Segments of this assistant, beside those of `ingest.assistants`; anything else maps to `other`. Only in `[assistants.NAME]`, which declares the assistant."""
    url: str | None = None
    """Base URL of the OpenAI-compatible server that serves the assistant's versions, ending in `/v1`."""
    versions: Mapping[str, str] = Field(default_factory=dict)
    """From a model version in the records to its name at `url`, such as a LoRA adapter's; a version that is not listed goes by its own name."""
    approved: str | None = Field(default=None, min_length=1)
    """The first approved version: one that `url` serves, or a folder of weights. `candor reference approve` moves it on."""
    judge: JudgeOptions | None = None
    """The judge of this assistant, instead of `[judge]`."""
    approved_answers: bool = True
    """Whether the approved version answers what looks like a lie, without the pressure: the console shows it beside the response. At most 48 tokens for each prompt, two prompts of each batch, and none for a prompt that was answered before."""
    neutral: Literal["auto", "frames"] = "auto"
    """How the pressure is taken out of a prompt: `auto`, a model rewrites it; `frames`, three fixed ones."""
    sensor: Path | None = None
    """Folder of the fitted sensor, which `candor calibrate` writes."""
    probes: Named = ()
    """Probes to run; empty takes those that the configured parts allow."""

    @model_validator(mode="after")
    def _versions_are_served(self) -> Self:
        if self.versions and self.url is None:
            raise ValueError("versions are names at the server: give its url")
        for version, served in self.versions.items():
            if not version or not served:
                raise ValueError("a version and its name at the server are not empty")
        return self


def made_sensor(assistant: str | None) -> Path:
    """Where a process makes the sensor of an assistant that names no folder for it."""
    return Path("var") / "sensors" / (assistant or "default")


def declared(ingest: IngestOptions, assistants: Mapping[str, AssistantOptions]) -> IngestOptions:
    """What is accepted once every assistant with a section of its own is declared, with its segments.

    Raises ValueError for a name that no assistant or segment may have.
    """
    for name, whose in ((CANARY_ASSISTANT, "the monitor's own traffic"), (OTHER, "the rest")):
        if name in assistants:
            raise ValueError(f"assistants.{name}: this is the name of {whose}")
    known = dict(ingest.assistants)
    for name, options in assistants.items():
        known[name] = tuple(dict.fromkeys((*known.get(name, ()), *options.segments)))
    return IngestOptions(**{**dict(ingest), "assistants": known})
