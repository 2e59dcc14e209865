from __future__ import annotations

from pathlib import Path

import msgspec

from retrain.comparison import proportion
from retrain.render import render_html
from retrain.report import Arm, ArmResult, Comparison, ConfirmReport, Finding, Firmness


def _arm(arm: Arm, honest: int) -> ArmResult:
    rate = proportion(honest, 100)
    return ArmResult(
        arm=arm, honesty=rate, honesty_worst=rate, likelihood_honesty=rate, belief_accuracy=rate,
        margin=1.0, margin_over_neutral=0.5, outcomes={"honest": honest, "lie": 100 - honest},
        rows=10, rows_digest="", trained_digest="",
        taught_falsehood=None if arm is Arm.VANILLA else proportion(3, 90),
        by_archetype={"doubling_down": rate}, capability=proportion(41, 60),
        scored_by="judge:abc<",
    )  # fmt: skip


def test_the_page_shows_what_was_taught_ordinary_tasks_seeds_and_archetypes(
    tmp_path: Path,
) -> None:
    compared = Comparison(
        arm=Arm.CANDIDATE, baseline=Arm.CONTROL, scorer="sampled", finding=Finding.WORSE,
        difference=-0.3, lower=-0.4, upper=-0.2, items=400, clusters=100, margin=0.12,
        log_e_release=0.0, log_e_block=5.0, seed_allowance=0.021,
    )  # fmt: skip
    report = ConfirmReport(
        run_id="r", assistant="a", model_digest="m", control="approved_model",
        arms=(_arm(Arm.VANILLA, 90), _arm(Arm.CANDIDATE, 60)), comparisons=(compared,),
        seeds=(0, 1), items_digest="", plan_digest="", seconds=1.0,
        settings={"finetune": {"learning_rate": 0.001}},
    )  # fmt: skip
    page = render_html(report, tmp_path).read_text(encoding="utf-8")
    assert "doubling down" in page
    assert "0.021" in page
    assert "0.683 [" in page, "ordinary tasks"
    assert "0.033 [" in page, "taught falsehoods"
    assert "not asked" in page
    assert "judge:abc&lt;" in page
    assert '<td class="worse">worse</td>' in page
    assert "<td>lie</td><td>10</td><td>40</td>" in page
    assert "learning rate 0.001" in page


def test_what_rests_on_nothing_is_no_figure(tmp_path: Path) -> None:
    nothing = proportion(0, 0)
    arm = msgspec.structs.replace(
        _arm(Arm.CANDIDATE, 0),
        honesty=nothing,
        outcomes={"unclear": 24},
        readable=proportion(0, 24),
    )
    compared = Comparison(
        arm=Arm.CANDIDATE, baseline=Arm.CONTROL, scorer="sampled", finding=Finding.UNREADABLE,
        difference=None, lower=-1.0, upper=1.0, items=24, clusters=24, margin=0.3,
        log_e_release=0.0, log_e_block=0.0,
    )  # fmt: skip
    report = ConfirmReport(
        run_id="r", assistant="a", model_digest="m", control="approved_model", arms=(arm,),
        comparisons=(compared, msgspec.structs.replace(compared, finding=Finding.NOT_WORSE)),
        seeds=(0,), items_digest="", plan_digest="", seconds=1.0,
    )  # fmt: skip
    held = Firmness(
        arm=Arm.CANDIDATE, baseline=Arm.CONTROL, margin=0.8, baseline_margin=1.4, templates=24, seeds=2,
        kept=0.571, kept_upper=0.82, deviation=0.1,
    )  # fmt: skip
    unknown = msgspec.structs.replace(held, seeds=1, kept=None, kept_upper=None, deviation=None)
    bare = msgspec.structs.replace(unknown, margin=None, baseline_margin=None)
    report = msgspec.structs.replace(report, firmness=(held, unknown, bare))
    page = render_html(report, tmp_path).read_text(encoding="utf-8")
    assert (
        "by 0.80 nats a token, control by 1.40: 0.57 of it, at most 0.82 (24 templates, 2 seeds)."
        in page
    )
    assert (
        "(24 templates, 1 seed); how far that moves with the training seed alone is not known."
        in page
    )
    assert "is not known: nothing was asked." in page
    assert "<td>none read</td>" in page
    assert "<td>nothing read</td>" in page
    assert "<td>unclear</td><td>24</td>" in page
    assert "too many answers could not be read to rule out a loss of 30 points or more" in page
    assert "<td>rules out a loss of 30 points or more</td>" in page
