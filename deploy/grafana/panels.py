"""Panels in one style: a title, a sentence that says what is seen, and queries with their legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common as common_builder
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "candor"
_POPULATION = "candor_window_verdicts"
"""Carries every label that a board lets one choose."""
Queries = Mapping[str, str]
"""Legend → PromQL; a legend may name labels, such as `{{kind}}`."""


def board(title: str, name: str, description: str, variables: Sequence[str]) -> dashboard.Dashboard:
    """An empty dashboard `candor-NAME` with the data source and a choice for each label in `variables`."""
    made = (
        dashboard.Dashboard(f"Candor: {title}")
        .uid(f"candor-{name}")
        .description(description)
        .tags([TAG])
        .refresh("30s")
        .time("now-24h", "now")
        .timezone("browser")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Candor")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
    )
    for number, label in enumerate(variables):
        narrowed = ", ".join(f'{earlier}=~"${earlier}"' for earlier in variables[:number])
        made = made.with_variable(
            dashboard.QueryVariable(label)
            .datasource(DATASOURCE)
            .query(f"label_values({_POPULATION}{f'{{{narrowed}}}' if narrowed else ''}, {label})")
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .sort(model.VariableSort.ALPHABETICAL_ASC)
        )
    return made


def query(
    expression: str, legend: str, letter: str, *, instant: bool = False
) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(letter).expr(expression).legend_format(legend)
    return made.instant() if instant else made.range()


def lines(
    title: str,
    seen: str,
    queries: Queries,
    *,
    unit: str = "short",
    width: int = 12,
    bottom: float | None = 0,
    top: float | None = None,
) -> timeseries.Panel:
    """Lines over time between `bottom` and `top`; None leaves an end to the figures."""
    made = (
        timeseries.Panel()
        .title(title)
        .description(seen)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(8)
        .span(width)
        .fill_opacity(8)
        .line_width(2)
        .legend(
            common_builder.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    if bottom is not None:
        made = made.min(bottom)
    if top is not None:
        made = made.max(top)
    for number, (legend, expression) in enumerate(queries.items()):
        made = made.with_target(query(expression, legend, chr(ord("A") + number)))
    return made


def figure(
    title: str,
    seen: str,
    expression: str,
    *,
    unit: str = "short",
    bad_from: float | None = None,
    bad_below: float | None = None,
) -> stat.Panel:
    """One number of now, red from `bad_from` up or below `bad_below`; without a series it says so."""
    steps = [model.Threshold(value=None, color="green")]
    if bad_from is not None:
        steps.append(model.Threshold(value=bad_from, color="red"))
    if bad_below is not None:
        steps = [
            model.Threshold(value=None, color="red"),
            model.Threshold(value=bad_below, color="green"),
        ]
    return (
        stat.Panel()
        .title(title)
        .description(seen)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(4)
        .span(4)
        .no_value("no figure")
        .thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
        .reduce_options(common_builder.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(query(expression, "", "A", instant=True))
    )


def rows(title: str, seen: str, expression: str, *, width: int = 24) -> table.Panel:
    """One row for each series of now, with its labels."""
    return (
        table.Panel()
        .show_header(True)
        .title(title)
        .description(seen)
        .datasource(DATASOURCE)
        .height(8)
        .span(width)
        .with_target(query(expression, "", "A", instant=True).format(PromQueryFormat.TABLE))
    )
