"""The panel that some options name, with its models loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from evidence import BadInputError
from evidence.options import Options
from probes.cascade import CascadeOptions
from probes.fusion import DEFAULT as DEFAULT_FUSION
from probes.fusion import Costs, Fusion
from probes.models.chat import Progress
from probes.models.device import Device
from probes.models.pool import ModelPool
from probes.names import Name, Named
from probes.neutral import NeutralStore
from probes.panel import Panel
from probes.parts import Parts, Speaker
from probes.probe import Probe
from probes.sensor.sensor import Sensor, read_sensor


class PanelOptions(Options):
    """What a panel is made of."""

    probes: Named = ()
    """Probes to run, the first on every response; empty takes the approved belief where there is an
    approved version and else activation, then judge with a judge server, belief and consistency
    with an assistant server (in process, a small foreign model knows neither), and actions (docs/probes.md)."""
    judge_url: str | None = None
    """OpenAI-compatible judge server; without it the reader judges in process."""
    judge_model: str | None = None
    """Model name at the judge server."""
    judge_timeout_s: float = Field(default=30.0, gt=0)
    """Time for one call of the judge, over all its tries."""
    judge_key_file: Path | None = None
    """File with the key of the judge server."""
    judge_key_variable: str | None = None
    """Variable with the key of the judge server, where no file has it."""
    assistant_url: str | None = None
    """Server of the assistant's own model, for belief and consistency."""
    assistant_key_file: Path | None = None
    """File with the key of the assistant's server."""
    assistant_key_variable: str | None = None
    """Variable with the key of the assistant's server, where no file has it."""
    assistant_versions: Mapping[str, str] = {}
    """From a model version of the records to its name at the assistant's server; a version that is
    not listed goes by its own name."""
    approved: str | None = None
    """The last approved version: a name in the records, or a folder of weights."""
    approved_answers: bool = False
    """Whether the approved version answers what looks like a lie, for a person to read."""
    neutral: Literal["auto", "frames"] = "auto"
    """How the pressure is taken out of a prompt: rewritten by a model, or by fixed frames."""
    sensor_dir: Path | None = None
    """Folder of the fitted sensor (`candor calibrate`)."""
    reader_model: Path | None = None
    """Folder with the reader's weights; without it the packaged model."""
    reader_device: Device = "auto"
    """Where the reader computes: `auto` takes CUDA where the model fits there, else the CPU."""
    reader_url: str | None = None
    """vLLM server with the plugin vllm-lens that gives the reader's states; `reader_model` is then
    the folder of its tokenizer."""
    reader_served: str | None = None
    """Model name at that server; without it the first that it names."""
    reader_key_file: Path | None = None
    """File with the key of that server."""
    reader_key_variable: str | None = None
    """Variable with the key of that server, where no file has it."""
    probe_dir: Path | None = None
    """Fitted activation artefact, or a published probe (`.pt`); without it the shipped one."""
    fusion_file: Path | None = None
    """Fitted fusion; without it the shipped one."""
    cache_dir: Path | None = None
    """Where the packaged model is converted to; without it the user's cache folder."""
    max_batch_tokens: int = Field(default=2048, gt=0)
    """Cells of one padded batch of a model in process."""
    micro_batch: int = Field(default=32, gt=0)
    """Transcripts handed to a probe at once."""
    cascade: CascadeOptions | None = CascadeOptions()
    """When the dearer probes run; None runs all on every response."""
    cost_false_alarm: float = Field(default=1.0, gt=0)
    """Cost of calling an honest answer a lie; only ratios of costs matter."""
    cost_missed_lie: float = Field(default=1.0, gt=0)
    """Cost of missing a lie."""
    cost_missed_evasion: float = Field(default=0.25, gt=0)
    """Cost of missing an evasion."""
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    """Share of lies expected; None keeps that of the calibration data."""


def open_panel(
    options: PanelOptions | None = None,
    *,
    progress: Progress | None = None,
    pool: ModelPool | None = None,
    neutral_store: NeutralStore | None = None,
) -> Panel:
    """Load models and artefacts. The first use converts the packaged model (15 to 60 s).

    Panels that are opened with one `pool` share their models in process. Rewritten prompts are kept in
    `neutral_store`, else in memory alone.

    Raises BadInputError for options that do not fit and UnreachableError when a server is gone.
    """
    options, pool = options or PanelOptions(), pool or ModelPool()
    if (options.judge_url is None) != (options.judge_model is None):
        raise BadInputError("judge_url and judge_model go together", "judge")
    report = progress or (lambda _what, _share: None)
    sensor = None if options.sensor_dir is None else read_sensor(options.sensor_dir)[0]
    parts = Parts(options, pool, sensor, report, neutral_store)
    probes = [parts.probe(name) for name in _names(options)]
    fusion = _fusion(options, sensor)
    if options.fusion_file is not None:
        _check_versions(fusion, probes, options.fusion_file, "candor probe fuse")
    if options.sensor_dir is not None:
        _check_versions(fusion, probes, options.sensor_dir, "candor calibrate")
    report("panel ready", 1.0)
    return Panel(probes, fusion, options.cascade, micro_batch=options.micro_batch, sensor=sensor)


def open_approved(
    options: PanelOptions, *, progress: Progress | None = None, pool: ModelPool | None = None
) -> Speaker | None:
    """The approved version as one that answers, and its name; None where none is configured.

    Raises BadInputError and UnreachableError as `open_panel`.
    """
    parts = Parts(options, pool or ModelPool(), None, progress or (lambda _what, _share: None))
    return parts.speaker()


def _fusion(options: PanelOptions, sensor: Sensor | None) -> Fusion:
    if sensor is not None and options.fusion_file is not None:
        raise BadInputError("a sensor has its own fusion: leave reader.fusion_file out", "sensor")
    costs = Costs(options.cost_false_alarm, options.cost_missed_lie, options.cost_missed_evasion)
    if sensor is not None:
        return Fusion(sensor.fusion, costs, options.prevalence)
    return Fusion.load(options.fusion_file or DEFAULT_FUSION, costs, options.prevalence)


def _check_versions(fusion: Fusion, probes: Sequence[Probe], path: Path, remedy: str) -> None:
    """A fusion weighs the probes that it was fitted to; of others its p_lie is not calibrated."""
    for probe in probes:
        fitted = fusion.model.probe_versions.get(probe.name, probe.version)
        if fitted != probe.version:
            raise BadInputError(
                f"was fitted to another version of `{probe.name}` ({fitted}, not {probe.version});"
                f" fit it anew with `{remedy}`",
                str(path),
            )


def _names(options: PanelOptions) -> tuple[Name, ...]:
    """The probes that run: with an approved version, what it finds likely comes first."""
    if options.probes:
        return options.probes
    first: Name = "activation" if options.approved is None else "approved"
    judge: tuple[Name, ...] = ("judge",) if options.judge_url else ()
    asked: tuple[Name, ...] = ("belief", "consistency") if options.assistant_url else ()
    return (first, *judge, *asked, "actions")
