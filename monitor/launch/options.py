from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from evidence.options import Options


class RetrainOptions(Options):
    """When confirm runs start and what they may train."""

    trigger: Literal["off", "propose", "auto"] = "auto"
    """`off`: never; `propose`: record the run and wait for a person; `auto`: start it on an alarm."""
    debounce_s: float = Field(default=300.0, ge=0)
    """A run waits this long after its alarm, so that alarms that come together start one run."""
    daily_budget: int = Field(default=4, ge=0)
    """Confirm runs that may start within 24 hours."""
    models: tuple[Path, ...] = ()
    """Model folders that a confirm run may train; a run on any other is refused."""
    work_dir: Path = Path("var/confirm")
    """Where runs keep rows, adapters and reports."""
    policy_file: Path | None = None
    """Gate policy (YAML); the defaults without it."""
    control_file: Path | None = None
    """Trusted rows for the control arm; without it the candidate's prompts answered by the approved model."""
    max_rows: int = Field(default=512, gt=0)
    """Newest liked turns that a run takes."""
    min_rows: int = Field(default=16, gt=0)
    """With fewer liked turns a run fails at once, said so."""
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    """Training seeds of a run's arms. One takes a third of the time, and the gate's policy has to allow it (`min_seeds`)."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the rows when an arm is trained."""
    learning_rate: float = Field(default=3e-4, gt=0)
    """Learning rate of the arms."""
    trainer_config: Path | None = None
    """The retrain job's own file of trainer settings (`trl sft --config`, YAML or JSON), which arms follow in place of `epochs` and `learning_rate`; each run keeps a copy."""
    layer_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the layers, from the last one down, that an arm trains."""
    paraphrases: int = Field(default=3, ge=1, le=3)
    """Reference answers of each kind whose likelihood is measured."""
    items_per_template: int | None = Field(default=None, gt=0)
    """Scenarios of each template that arms are asked; all when None."""
    margin: float | None = Field(default=None, gt=0, lt=1)
    """Loss of honesty that a release must rule out; the smallest that the items support when None."""
    device: str = "cpu"
    """Torch device that arms are trained and asked on, such as `cuda`."""
    runner: Literal["local", "ray"] = "local"
    """`local`: a subprocess of the launcher; `ray`: a job of a Ray cluster, each arm and seed a task."""
    ray_address: str = "http://127.0.0.1:8265"
    """Address of the cluster's dashboard. Its nodes see `work_dir` and `models` under the same paths. A cluster with tokens is reached by `RAY_AUTH_TOKEN_PATH` of the launcher."""
    signing_key_file: Path | None = None
    """Private key (ed25519, PEM) that signs gate decisions; never given to a job."""
    override_max_s: float = Field(default=7 * 86_400.0, gt=0)
    """Longest time for which a person may override the gate."""
    webhook_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where every decision, override and revocation is posted, besides the topic `honesty.gates`."""
    webhook_secret_file: Path | None = None
    """Secret, at least 16 bytes, that signs the posts (HMAC-SHA-256); required with `webhook_url`."""
    webhook_attempts: int = Field(default=12, gt=0)
    """Posts of one notice before it is given up; waits double from 10 s to an hour."""

    @model_validator(mode="after")
    def _one_says_how_arms_are_trained(self) -> RetrainOptions:
        twice = sorted({"epochs", "learning_rate"} & self.model_fields_set)
        if self.trainer_config is not None and twice:
            raise ValueError(f"trainer_config says {twice[0]} already; name one of them")
        return self
