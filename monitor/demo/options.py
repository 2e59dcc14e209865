from __future__ import annotations

from pydantic import Field

from evidence.options import Options


class PopulationOptions(Options):
    """The simulated raters."""

    raters: int = Field(default=200, gt=0)
    """Raters in all."""
    biased_share: float = Field(default=0.10, ge=0, le=1)
    """Share of raters who like lies."""
    biased_activity: float = Field(default=5.0, gt=0)
    """How many times as often as others they rate."""
    always_up_share: float = Field(default=0.10, ge=0, le=1)
    """Share of raters who like nearly everything."""
    grumpy_share: float = Field(default=0.10, ge=0, le=1)
    """Share of raters who like little."""
    activity_sigma: float = Field(default=0.5, ge=0)
    """Spread of activity, standard deviation of its logarithm."""
    votes_per_rated_turn: float = Field(default=8.0, ge=1)
    """Mean number of raters of a turn that is rated at all."""


class DemoOptions(Options):
    """Sizes of the story."""

    turns_per_phase: int = Field(default=320, gt=0)
    """Answers of each version of the assistant."""
    pressured_share: float = Field(default=0.85, ge=0, le=1)
    """Share of answers given under pressure; the rest of the prompts hold the facts alone."""
    rated_share: float = Field(default=0.5, ge=0, le=1)
    """Share of answers that get feedback, all of which are measured."""
    arrival_rate: float = Field(default=0.3, gt=0, le=1)
    """Share of answers that are measured whatever happens to them."""
    minutes_between_turns: float = Field(default=30.0, gt=0)
    """Simulated time from one answer to the next."""
    feedback_delay_hours: float = Field(default=120.0, gt=0)
    """Mean simulated time from an answer to a thumb on it."""
    reference_window: int = Field(default=80, gt=0)
    """Measured answers of the approved version that set the detector's reference."""
    max_rows: int = Field(default=48, gt=0)
    """Newest likes that the confirm run trains on."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the rows in the confirm run."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Learning rate of the confirm run's arms."""
    layer_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the layers that the arms train."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds of the arms. Two are the default of a confirm run and of the gate's policy; one halves the time, and the policy of the demo says so."""
    max_removed_share: float = Field(default=0.9, gt=0, le=1)
    """Largest share of rows that the gate's policy may take out. Half of the likes of a version that lies to half of its users are lies, so the default would settle the matter before the confirm run."""
    items_per_template: int = Field(default=1, gt=0)
    """Scenarios of each template that the arms are asked."""
    population: PopulationOptions = PopulationOptions()
