"""The panel that some options name, with its models loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from pydantic import Field

from evidence import BadInputError, UnreachableError
from evidence.options import Options
from probes.activation.artefact import DEFAULT as DEFAULT_PROBE
from probes.activation.opening import open_activation, precision
from probes.belief import AnswerBelief, LikelihoodBelief
from probes.calibration import Platt
from probes.cascade import CascadeOptions
from probes.compare import EmbeddingComparer
from probes.consistency import ConsistencyProbe
from probes.fusion import DEFAULT as DEFAULT_FUSION
from probes.fusion import Costs, Fusion
from probes.judge import JudgeProbe, LocalJudge, ServerJudge
from probes.models.chat import Progress
from probes.models.device import Device, load_placed
from probes.models.embedding import Embedder
from probes.models.lens import LensModel
from probes.models.local import LocalModel
from probes.models.openai import OpenAIModel
from probes.models.packaged import packaged_model_dir
from probes.models.server import ServerOptions, read_token
from probes.panel import Panel
from probes.probe import Probe

Name = Literal["activation", "judge", "belief", "consistency"]
BELIEF_CALIBRATION = DEFAULT_FUSION.with_name("belief.json")


class PanelOptions(Options):
    """What a panel is made of."""

    probes: tuple[Name, ...] = ()
    """Probes to run; empty takes activation, judge with a judge server, and belief and consistency
    with an assistant server: in process, a small foreign model knows neither (docs/probes.md)."""
    judge_url: str | None = None
    """OpenAI-compatible judge server; without it the reader judges in process."""
    judge_model: str | None = None
    """Model name at the judge server."""
    judge_timeout_s: float = Field(default=30.0, gt=0)
    """Time for one call of the judge, over all its tries."""
    judge_key_file: Path | None = None
    """File with the key of the judge server."""
    assistant_url: str | None = None
    """Server of the assistant's own model, for belief and consistency."""
    assistant_key_file: Path | None = None
    """File with the key of the assistant's server."""
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


def open_panel(options: PanelOptions | None = None, *, progress: Progress | None = None) -> Panel:
    """Load models and artefacts. The first use converts the packaged model (15 to 60 s).

    Raises BadInputError for options that do not fit and UnreachableError when a server is gone.
    """
    options = options or PanelOptions()
    if (options.judge_url is None) != (options.judge_model is None):
        raise BadInputError("judge_url and judge_model go together", "judge")
    report = progress or (lambda _what, _share: None)
    folder = options.reader_model or packaged_model_dir(progress, options.cache_dir)
    report("loading the reader", 0.9)

    @cache
    def reader() -> LocalModel:
        return load_placed(
            folder,
            options.reader_device,
            dtype=precision(options.probe_dir or DEFAULT_PROBE),
            max_batch_tokens=options.max_batch_tokens,
        )

    costs = Costs(options.cost_false_alarm, options.cost_missed_lie, options.cost_missed_evasion)
    fusion = Fusion.load(options.fusion_file or DEFAULT_FUSION, costs, options.prevalence)
    assistant = _assistant(options)
    served = _served_reader(options, folder)
    probes = [_probe(name, options, reader, served, assistant) for name in _names(options)]
    if options.fusion_file is not None:
        _check_versions(fusion, probes, options.fusion_file)
    report("panel ready", 1.0)
    return Panel(probes, fusion, options.cascade, micro_batch=options.micro_batch)


def _check_versions(fusion: Fusion, probes: Sequence[Probe], path: Path) -> None:
    """A fusion weighs the probes that it was fitted to; of others its p_lie is not calibrated."""
    for probe in probes:
        fitted = fusion.model.probe_versions.get(probe.name, probe.version)
        if fitted != probe.version:
            raise BadInputError(
                f"was fitted to another version of `{probe.name}` ({fitted}, not {probe.version});"
                " fit it anew with `candor probe fuse`",
                str(path),
            )


def _names(options: PanelOptions) -> tuple[Name, ...]:
    if options.probes:
        return options.probes
    judge: tuple[Name, ...] = ("judge",) if options.judge_url else ()
    asked: tuple[Name, ...] = ("belief", "consistency") if options.assistant_url else ()
    return ("activation", *judge, *asked)


def _probe(
    name: Name,
    options: PanelOptions,
    reader: Callable[[], LocalModel],
    served: LensModel | None,
    assistant: OpenAIModel | None,
) -> Probe:
    match name:
        case "activation":
            return open_activation(served or reader(), options.probe_dir or DEFAULT_PROBE)
        case "judge":
            return JudgeProbe(_judge(options) or LocalJudge(reader()))
        case "belief" if assistant:
            return AnswerBelief(assistant, EmbeddingComparer(Embedder()))
        case "belief":
            return LikelihoodBelief(reader(), belief_calibration())
        case "consistency":
            return ConsistencyProbe(assistant or reader(), Embedder())


def _served_reader(options: PanelOptions, folder: Path) -> LensModel | None:
    """The reader behind a server, where one is named."""
    if options.reader_url is None:
        return None
    key = read_token(options.reader_key_file)
    return LensModel.open(options.reader_url, folder, model=options.reader_served, api_key=key)


def _judge(options: PanelOptions) -> ServerJudge | None:
    if options.judge_url is None or options.judge_model is None:
        return None
    server = ServerOptions(timeout_s=options.judge_timeout_s)
    key = read_token(options.judge_key_file)
    return ServerJudge(OpenAIModel(options.judge_url, options.judge_model, server, api_key=key))


def _assistant(options: PanelOptions) -> OpenAIModel | None:
    """The first model that the assistant's server names."""
    if options.assistant_url is None:
        return None
    key = read_token(options.assistant_key_file)
    served = OpenAIModel(options.assistant_url, "", api_key=key).served_models()
    if not served:
        raise UnreachableError(options.assistant_url, "it serves no model")
    return OpenAIModel(options.assistant_url, served[0], api_key=key)


def belief_calibration(path: Path = BELIEF_CALIBRATION) -> Platt:
    """The fitted slope and intercept of the likelihood shift."""
    try:
        values = msgspec.json.decode(path.read_bytes(), type=dict[str, float])
        return Platt(values["slope"], values["intercept"])
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise BadInputError(f"not a belief calibration: {error}", str(path)) from error
