"""One row for each figure and alarm that is shown: what was simulated, claimed, found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.figures import Row, count, rate, rows, runs_of, share, span, table, three

Line = tuple[str, str, str, str, str, str]


def nulls_and_coverages() -> str:
    """The overview; what is held by a test alone, or was never simulated, says so."""
    lines = [
        *_honesty(),
        *_false_alarms(),
        *_found_late(),
        *_cohorts(),
        *(_noted(row) for row in rows("noted")),
    ]
    return table(
        ("figure or alarm", "simulated", "runs of each", "claimed", "found", "by"),
        [(*line[:5], f"`{line[5]}`") for line in lines],
    )


def _noted(row: Row) -> Line:
    return row["figure"], row["simulated"], row["n"], row["claimed"], row["found"], row["by"]


def _covered(cells: Sequence[Row]) -> str:
    found = [cell["covered"] / cell["shown"] for cell in cells if cell["shown"]]
    mean = sum(cell["covered"] for cell in cells) / sum(cell["shown"] for cell in cells)
    return f"{span(found)}, mean {share(mean, 3)}"


def _honesty() -> Iterator[Line]:
    labels = max(row["labels"] for row in rows("honesty"))
    for basis, name in ((0, "by the sensor's card"), (labels, f"by {labels} random labels")):
        cells = [row for row in rows("honesty") if row["labels"] == basis]
        yield (
            f"honesty {name}",
            f"{len(cells)} settings of lies, AUROC and answers",
            runs_of("honesty"),
            "covers .95",
            _covered(cells),
            "benchmarks.honesty",
        )
    cells = list(rows("card_intervals"))
    yield (
        "share of lies by a card",
        f"{len(cells)} settings of lies, sensor and counts",
        runs_of("card_intervals"),
        "covers .95",
        _covered(cells),
        "benchmarks.intervals",
    )
    (kappa,) = rows("kappas")
    yield (
        "agreement of two people",
        f"kappa .5, {kappa['pairs']} shared responses",
        count(kappa["runs"]),
        "covers .95",
        rate(kappa["covered"], kappa["runs"], 3),
        "benchmarks.intervals",
    )


def _false_alarms() -> Iterator[Line]:
    yield (
        "alarms `lie`, `evasion`, `worst_case`, `own_actions`: the mean",
        f"{len(rows('mean_null'))} nulls of conditional mean .1",
        runs_of("mean_null"),
        "≥ 10 000 scores an alarm",
        span((row["run_length"] for row in rows("mean_null")), three),
        "benchmarks.detection",
    )
    yield (
        "alarms `lie`, `evasion` as shipped: mean and ranks",
        f"{len(rows('shipped_null'))} exchangeable nulls",
        runs_of("shipped_null"),
        "≥ 10 000 scores an alarm",
        span((row["run_length"] or row["lower"] for row in rows("shipped_null")), three),
        "benchmarks.alarms",
    )
    inside = [row for row in rows("months") if row["inside"]]
    outside = [row for row in rows("months") if not row["inside"]]
    yield (
        "alarms of all strata, end to end, inside the claim",
        f"{len(inside)} mixes of topics",
        f"{inside[0]['months']} months",
        "≤ .1 a month",
        f"{sum(row['alarms'] for row in inside)} in {sum(row['months'] for row in inside)} months",
        "benchmarks.alarms",
    )
    yield (
        "the same, outside the claim",
        "drift, bursts, spells of a topic",
        f"{outside[0]['months']} months",
        "none",
        ", ".join(f"{row['alarms']}" for row in outside) + " alarms",
        "benchmarks.alarms",
    )


def _found_late() -> Iterator[Line]:
    delays = rows("shipped_delay")
    known = [row for row in delays if row["never"][0] < 0.5]
    ratios = span((row["ratio"] for row in known), "{:.2f}".format)
    never = span((row["never"][0] for row in delays), lambda x: share(x, 3))
    yield (
        "delay of `lie` as shipped",
        f"{len(delays)} rises",
        runs_of("shipped_delay"),
        "≤ 3 times the oracle's",
        f"{ratios} times; never in {never}",
        "benchmarks.alarms",
    )
    bounds = rows("learned_bounds")
    yield (
        "a learned reference",
        f"{len(bounds)} windows of mean .1",
        runs_of("learned_bounds"),
        "too low in ≤ .05",
        span((row["too_low"] / row["runs"] for row in bounds), lambda x: share(x, 3)),
        "benchmarks.intervals",
    )
    starts = rows("since")
    yield (
        "since when",
        f"{len(starts)} falls of honesty",
        runs_of("since", "n"),
        "none: a likelihood set",
        f"covers {span(row['coverage'] for row in starts)}",
        "benchmarks.detection",
    )
    (sequence,) = rows("sequences")
    yield (
        "size of an alarm",
        f"{count(sequence['length'])} scores, {sequence['scores']}",
        count(sequence["runs"]),
        "ever wrong in ≤ .05",
        rate(sequence["missed"], sequence["runs"], 3),
        "benchmarks.intervals",
    )
    yield from (
        (
            "joint report",
            f"{row['streams']} streams, {row['drifting']} of them drift",
            count(row["runs"]),
            "false share ≤ .1",
            f"{share(row['false_share'], 3)}; a drift named in {row['found']}"
            if row["drifting"]
            else share(row["false_share"], 3),
            "benchmarks.intervals",
        )
        for row in rows("joint_reports")
    )


def _cohorts() -> Iterator[Line]:
    found = rows("cohort_coverage")
    n = runs_of("cohort_coverage", "n")
    what = f"{len(found)} populations beyond the model"

    def pooled(key: str) -> str:
        total = sum(row["n"] for row in found)
        return rate(sum(round(row[key][0] * row["n"]) for row in found), total)

    by = "benchmarks.cohorts"
    yield "share of biased raters", what, n, "covers .95", pooled("coverage"), by
    hits, said = (sum(row[key] for row in found) for key in ("said_covered", "said"))
    yield "the same, answer `ok`", what, n, "covers .95", rate(hits, said), by
    yield "lies among liked turns", what, n, "covers .95", pooled("lies_liked_covered"), by
    yield "influence of the cohort", what, n, "covers .95", pooled("difference_covered"), by
    (demo,) = rows("demo_raters")
    runs, by_demo = demo["runs"], "benchmarks.demo_raters"
    drawn = "the demo's turns, verdicts and raters"
    yield (
        "share of biased raters in the demo",
        drawn,
        count(runs),
        "covers .95",
        f"{rate(demo['covered'], runs)}, width {share(demo['mean_width'])}, `ok` in {demo['said']}",
        by_demo,
    )
    yield (
        "their share of the likes in the demo",
        drawn,
        count(runs),
        "covers .95",
        rate(demo["likes_covered"], runs),
        by_demo,
    )
    yield (
        "suspects in the demo",
        drawn,
        count(runs),
        "false share ≤ .1",
        rate(demo["suspects"] - demo["suspects_biased"], demo["suspects"], 3),
        by_demo,
    )
    clean = [row for row in found if row["truth"] == 0]
    alarms = sum(round(row["false_alarms"][0] * row["n"]) for row in clean)
    yield (
        "alarms `biased_raters`, `biased_weight`",
        "nobody is biased, weak sensor",
        count(sum(row["n"] for row in clean)),
        "ever false in ≤ .05",
        rate(alarms, sum(row["n"] for row in clean)),
        by,
    )
    innocent = [row for row in rows("bursts") if "sybils" not in row["event"]]
    campaigns = [row for row in rows("bursts") if "sybils" in row["event"]]
    total = sum(row["n"] for row in innocent)
    named = sum(round(row["anybody_named"][0] * row["n"]) for row in innocent)
    kinds = ", ".join(row["event"] for row in innocent)
    yield "groups named", kinds, runs_of("bursts", "n"), "nobody", rate(named, total), by
    recall = ", ".join(share(row["recall"][0]) for row in campaigns)
    yield (
        "groups found",
        f"{len(campaigns)} campaigns for lies",
        runs_of("bursts", "n"),
        "none",
        f"recall {recall}",
        by,
    )
