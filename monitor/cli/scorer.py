"""The probes that the settings name, as one scorer."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from monitor.detect.topics import Embed
    from monitor.score import Scorer
    from monitor.settings import Settings
    from probes.models.embedding import Embedder

log = logging.getLogger(__name__)


def open_scorer(settings: Settings) -> Scorer:
    """Load the panel: models in process, or clients of the servers that the settings name.

    Shows what is being loaded: a bar on a terminal, else lines of the log. Raises BadInputError for
    settings that do not fit and UnreachableError when a server is gone.
    """
    log.info("loading the models")
    from probes import PanelOptions, open_panel  # noqa: PLC0415 -- loads torch

    options = PanelOptions(**panel_settings(settings))
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

        return open_panel(options, progress=report)


def panel_settings(settings: Settings) -> dict[str, Any]:
    """What the settings say of `probes.PanelOptions`."""
    reader = settings.reader
    return {
        "judge_url": settings.judge.url,
        "judge_model": settings.judge.model,
        "judge_timeout_s": settings.judge.timeout_s,
        "judge_key_file": settings.judge.api_key_file,
        "assistant_url": settings.assistant.url,
        "assistant_key_file": settings.assistant.api_key_file,
        "reader_model": None if reader.model is None else Path(reader.model),
        "reader_device": reader.device,
        "reader_url": reader.url,
        "reader_served": reader.served_model,
        "reader_key_file": reader.api_key_file,
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
