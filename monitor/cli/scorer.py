"""The probes that the settings name, as one scorer."""

from __future__ import annotations

from monitor.score import Scorer
from monitor.settings import Settings


def open_scorer(settings: Settings) -> Scorer:
    """Load the panel: models in process, or clients of the servers that the settings name.

    Raises BadInputError for settings that do not fit and UnreachableError when a server is gone.
    """
    from probes import PanelOptions, open_panel  # noqa: PLC0415 -- loads torch

    return open_panel(
        PanelOptions(
            judge_url=settings.judge.url,
            judge_model=settings.judge.model,
            assistant_url=settings.assistant.url,
            reader_model=settings.reader.model,
            probe_dir=settings.reader.probe_dir,
        )
    )
