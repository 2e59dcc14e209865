"""Honesty of one response: belief, consistency and activation probes, a judge, and their fusion.

`Panel`, `PanelOptions` and `open_panel` are imported when first asked for: they need torch.
"""

from typing import TYPE_CHECKING, Any

from probes.probe import Probe, Transcript

if TYPE_CHECKING:
    from probes.opening import PanelOptions, open_panel
    from probes.panel import Panel

__all__ = ["Panel", "PanelOptions", "Probe", "Transcript", "open_panel"]


def __getattr__(name: str) -> Any:
    """Load the panel's parts on demand (PEP 562)."""
    if name == "Panel":
        from probes.panel import Panel  # noqa: PLC0415

        return Panel
    if name in {"PanelOptions", "open_panel"}:
        from probes import opening  # noqa: PLC0415 -- loads torch

        return getattr(opening, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
