"""What a reply says was done, held against the tool calls of its record."""

from probes.actions.asked import JudgedClaims
from probes.actions.probe import NAME, ActionProbe
from probes.fusion import CONTRADICTED
from probes.visible import Visible

__all__ = ["CONTRADICTED", "NAME", "ActionProbe", "JudgedClaims", "Visible"]
