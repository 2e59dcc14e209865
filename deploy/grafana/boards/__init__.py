"""The dashboards, one a file; every query names metrics that Candor exports or its rules record."""

from deploy.grafana.boards.cohorts import cohorts
from deploy.grafana.boards.evaluators import evaluators
from deploy.grafana.boards.gate import gate
from deploy.grafana.boards.overview import overview
from deploy.grafana.boards.stratum import stratum

BOARDS = (overview, stratum, cohorts, evaluators, gate)

__all__ = ["BOARDS"]
