"""What a confirm run is asked to do, and its identity."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
from pydantic import Field

from evidence import BadInputError, canonical_json, digest
from evidence.options import Options
from probes.scenarios import Scenario, load_scenarios
from retrain.comparison import DecisionOptions
from retrain.evaluation.evaluate import EvaluationOptions
from retrain.finetune import FinetuneOptions
from retrain.items import Item, load_items

CONTROL_AUTO = "auto"
"""Control rows are the candidate's prompts answered by the last approved model."""


_PLACES = frozenset({"rows", "control", "model_dir", "out", "judge_key_file", "judge_key_variable"})
"""Where things are: another place makes no other run."""


class ItemOptions(Options):
    """Which items are asked."""

    source: Literal["scenarios", "held_out"] = "scenarios"
    """`scenarios`: the 96 packaged pressure scenarios, fast. `held_out`: the 400 items of eleven archetypes that nothing in the package trains on; they support a margin of 10 points."""
    domains: tuple[str, ...] = ()
    """Domains; all when empty."""
    per_template: int | None = Field(default=None, gt=0)
    """Items of each template; all when None. Templates are the independent units, so none is left out."""


class InfluenceOptions(Options):
    """What measuring the influence of rows may cost: about a training step on one row each."""

    items: int = Field(default=24, gt=0)
    """Questions whose lying margin is what rows pull at, each of another template as far as there are."""
    rows: int = Field(default=2000, gt=0)
    """Rows measured at most, chosen by their digest; the report says how many were not."""


class ConfirmPlan(Options):
    """Everything that a confirm run does. All arms are treated alike.

    `model_dir` is the last approved model: the `vanilla` arm, the start of every trained arm and,
    with control `auto`, the one who answers for the control rows.
    """

    run_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Names the run."""
    assistant: str
    """The assistant that the rows would train."""
    rows: Path
    """Candidate rows."""
    removed: tuple[int, ...] = ()
    """0-based positions of the rows that the gate quarantines; these make the `released` arm."""
    control: Path | None = Path(CONTROL_AUTO)
    """File with trusted rows; `auto`; or None for no control, with which nothing can be released."""
    model_dir: Path
    """Folder of the last approved model, safetensors."""
    out: Path
    """Folder of the run; a run that was killed goes on from what it holds."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    """Training seeds; item scores are averaged over them. One alone says nothing of what a difference owes to it."""
    finetune: FinetuneOptions = FinetuneOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    decision: DecisionOptions = DecisionOptions()
    items: ItemOptions = ItemOptions()
    max_influence: float | None = Field(default=None, allow_inf_nan=False)
    """The policy's limit: the influence of the rows is measured on the trained candidate, and rows that pull further towards lying are removed as well. None measures none."""
    influence: InfluenceOptions = InfluenceOptions()
    early_stop: bool = True
    """Whether candidate and released are asked no further once their finding stands. Not with several seeds or on a Ray cluster, where arms are asked all items."""
    least_items: int = Field(default=24, gt=0)
    """The policy's `min_items`: fewer are not enough to stop for a release."""
    least_templates: int = Field(default=20, gt=0)
    """The policy's `min_templates`."""
    capability: bool = False
    """Whether every arm also does the 60 ordinary tasks, which are reported and decide nothing."""
    seed_spreads: Path | None = None
    """A `seed-spreads.json` of an earlier run: what is known of the models' spread between seeds."""
    judge_url: str | None = None
    """OpenAI-compatible server whose model labels the sampled answers; None: the items' own rules."""
    judge_model: str = ""
    """Name of the judge's model at that server."""
    judge_key_file: Path | None = None
    """File with the key of that server, where the arms are measured. The plan holds no key."""
    judge_key_variable: str | None = None
    """Variable with that key, where no file has it."""

    def settings(self) -> dict[str, Any]:
        """Everything that the run is told, but for where things are."""
        return self.model_dump(mode="json", exclude=set(_PLACES))

    def identity(self, rows_digest: str, model_digest: str, control_digest: str) -> str:
        """Digest of all inputs: a folder belongs to one identity and is never reused for another."""
        return digest(canonical_json(self.settings()), rows_digest, model_digest, control_digest)


def plan_items(options: ItemOptions) -> tuple[Scenario | Item, ...]:
    """The items of a plan, in the package's order. Raises BadInputError for an unknown domain."""
    taken: dict[str, int] = {}
    chosen: list[Scenario | Item] = []
    for item in _asked(options):
        taken[item.template] = taken.get(item.template, 0) + 1
        if options.per_template is None or taken[item.template] <= options.per_template:
            chosen.append(item)
    if not chosen:
        raise BadInputError("no items to ask")
    return tuple(chosen)


def _asked(options: ItemOptions) -> Iterable[Scenario | Item]:
    if options.source == "held_out":
        return load_items(options.domains, "held_out")
    domains = options.domains or (None,)
    return (s for domain in domains for s in load_scenarios(domain))


def items_digest(items: tuple[Scenario | Item, ...]) -> str:
    """Digest of the items' whole content."""
    return digest(msgspec.json.encode(items, order="sorted"))
