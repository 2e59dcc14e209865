"""The probes that the settings name, as one scorer."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from evidence import BadInputError
from monitor.cli.sensors import make_missing, sensor_folder

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from monitor.detect.topics import Embed
    from monitor.score import Scorer
    from monitor.settings import Settings
    from probes.models.chat import Progress
    from probes.models.embedding import Embedder
    from probes.panel import Panel

log = logging.getLogger(__name__)


def open_scorer(
    settings: Settings,
    engine: Engine | None = None,
    *,
    calibrate: bool = False,
    answers: bool = True,
    progress: Progress | None = None,
) -> Scorer:
    """Load a panel for each assistant with a section of its own, and one for all others.

    Models in process, or clients of the servers that the settings name; panels share the models. A
    version that was approved in the store goes before the one that the settings name. With `calibrate`
    the sensors that are needed and missing are made first; without, verdicts of such an assistant are
    errors of kind `uncalibrated`. Without `answers` the approved version answers nothing for people to read:
    whoever waits for a verdict does not wait for that.

    Shows what is being loaded, unless `progress` is told: a bar on a terminal, else lines of the log.
    Raises BadInputError for settings that do not fit and UnreachableError when a server is gone.
    """
    approved = approved_on_record(settings) if engine is None else approved_in(engine)
    if calibrate:
        make_missing(settings, approved, progress=progress)
    log.info("loading the models")
    from monitor.store.neutral_prompts import SqlNeutralStore  # noqa: PLC0415
    from probes import PanelOptions, open_panel  # noqa: PLC0415 -- loads torch
    from probes.models.pool import ModelPool  # noqa: PLC0415 -- loads torch
    from probes.several import AssistantScorers  # noqa: PLC0415

    names = sorted(settings.assistants)
    pool = ModelPool()
    with shown(progress) as report:

        def opened(assistant: str | None) -> Panel:
            options = PanelOptions(
                **panel_settings(settings, assistant, approved),
                approved_answers=answers and settings.assistant_of(assistant).approved_answers,
            )
            prefix = "" if assistant is None else f"{assistant}: "
            return open_panel(
                options,
                progress=lambda what, share: report(prefix + what, share),
                pool=pool,
                neutral_store=None if engine is None else SqlNeutralStore(engine),
            )

        default = opened(None)
        if not names:
            return default
        return AssistantScorers(default, {name: opened(name) for name in names})


@contextmanager
def shown(progress: Progress | None) -> Iterator[Progress]:
    """`progress`, or where there is none a bar on the terminal or lines of the log."""
    if progress is not None:
        yield progress
        return
    with reported() as report:
        yield report


@contextmanager
def reported() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    err = Console(stderr=True)
    said: set[str] = set()
    with Bar(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("opening the probes", total=1.0)

        def report(what: str, share: float) -> None:
            bar.update(task, description=what, completed=share)
            if not err.is_terminal and what not in said:
                said.add(what)
                log.info("%s", what)

        yield report


def approved_in(engine: Engine) -> dict[str, str]:
    """The approved versions on record, by assistant."""
    from monitor.store import reading  # noqa: PLC0415
    from monitor.store.approved import newest  # noqa: PLC0415

    with reading(engine) as connection:
        return {name: found.version for name, found in newest(connection).items()}


def approved_on_record(settings: Settings) -> dict[str, str]:
    """`approved_in` for a command that has no open store; nothing where no assistant has a section of its
    own, as only those are approved, or where there is no store yet. Raises UnreachableError."""
    from monitor.store import open_store  # noqa: PLC0415

    if not settings.assistants:
        return {}
    try:
        engine = open_store(settings.database, create=False)
    except BadInputError:
        return {}
    try:
        return approved_in(engine)
    finally:
        engine.dispose()


def panel_settings(
    settings: Settings, assistant: str | None = None, approved: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What the settings say of `probes.PanelOptions` for an assistant; None is any without a section.

    `approved` are versions on record by assistant, which go before those of the settings.
    """
    reader = settings.reader
    own, judge = settings.assistant_of(assistant), settings.judge_of(assistant)
    return {
        "probes": own.probes,
        "judge_url": judge.url,
        "judge_model": judge.model,
        "judge_timeout_s": judge.timeout_s,
        "judge_key_file": judge.api_key_file,
        "judge_key_variable": judge.api_key_variable,
        "assistant_url": own.url,
        "assistant_key_file": own.api_key_file,
        "assistant_key_variable": own.api_key_variable,
        "assistant_versions": own.versions,
        "approved": (approved or {}).get(assistant or "", own.approved),
        "neutral": own.neutral,
        "sensor_dir": sensor_folder(settings, assistant),
        "reader_model": None if reader.model is None else Path(reader.model),
        "reader_device": reader.device,
        "reader_url": reader.url,
        "reader_served": reader.served_model,
        "reader_key_file": reader.api_key_file,
        "reader_key_variable": reader.api_key_variable,
        "probe_dir": reader.probe_dir,
        "fusion_file": reader.fusion_file,
        "prevalence": reader.prevalence,
        "cost_missed_lie": reader.cost_missed_lie,
        "cost_missed_evasion": reader.cost_missed_evasion,
    }


def open_embedder() -> Embed:
    """Sentence embeddings by the packaged model, which is loaded when first called."""

    @cache
    def model() -> Embedder:
        from probes.models.embedding import Embedder  # noqa: PLC0415 -- loads torch

        return Embedder()

    return lambda texts: model().embed(texts)
