"""What a panel is put together from: models, servers and the probes on them, each opened once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from evidence import BadInputError, UnreachableError
from probes.actions import ActionProbe, JudgedClaims
from probes.activation.artefact import DEFAULT as DEFAULT_PROBE
from probes.activation.opening import open_activation, precision
from probes.approved import ApprovedAnswers, ApprovedBelief
from probes.belief import AnswerBelief, LikelihoodBelief
from probes.calibration import Platt
from probes.compare import PremiseComparer
from probes.consistency import ConsistencyProbe
from probes.fusion import DEFAULT as DEFAULT_FUSION
from probes.judge import JudgeProbe, LocalJudge, ServerJudge
from probes.models.chat import ChatModel, Progress, TokenLikelihoodModel
from probes.models.keys import read_key
from probes.models.lens import LensModel
from probes.models.local import LocalModel
from probes.models.openai import OpenAIModel
from probes.models.packaged import packaged_model_dir
from probes.models.pool import ModelPool
from probes.models.prompt_logprobs import PromptLogprobs
from probes.models.served import ModelGoneError, Served
from probes.models.server import ServerOptions
from probes.names import Name
from probes.neutral import (
    Extractive,
    FrameNeutral,
    Generative,
    MemoryStore,
    NeutralPrompts,
    NeutralStore,
    RewrittenNeutral,
    WordCheck,
    Worded,
)
from probes.premise.probe import PremiseProbe
from probes.probe import Probe

if TYPE_CHECKING:
    from probes.opening import PanelOptions
    from probes.sensor.sensor import Sensor

BELIEF_CALIBRATION = DEFAULT_FUSION.with_name("belief.json")


class Speaker(NamedTuple):
    """The approved version as one that answers, and its name in the records."""

    model: ChatModel
    version: str


class Parts:
    """Opens what the options name, when a probe first needs it.

    Raises BadInputError for options that do not fit and UnreachableError when a server is gone.
    """

    def __init__(
        self,
        options: PanelOptions,
        pool: ModelPool,
        sensor: Sensor | None,
        progress: Progress,
        neutral_store: NeutralStore | None = None,
    ) -> None:
        self._options, self._pool, self._sensor = options, pool, sensor
        self._progress = progress
        self._neutral_store = neutral_store or MemoryStore()
        self._weighing: dict[str, PromptLogprobs] = {}

    def probe(self, name: Name) -> Probe:
        """The probe of this name."""
        makers: dict[Name, Callable[[], Probe]] = {
            "approved": self._approved_belief,
            "activation": self._activation,
            "judge": lambda: JudgeProbe(self._judge or LocalJudge(self._reader)),
            "belief": self._belief,
            "consistency": lambda: ConsistencyProbe(
                self._assistant or self._reader, self._comparer
            ),
            "actions": self._actions,
            "premise": lambda: PremiseProbe(self._pool.premises()),
        }
        return makers[name]()

    def _actions(self) -> ActionProbe:
        judge = self._judge_model
        finder = None if judge is None else JudgedClaims(judge)
        return ActionProbe(self._pool.embedder(), finder=finder)

    def _belief(self) -> Probe:
        if self._assistant is None:
            return LikelihoodBelief(self._reader, belief_calibration())
        return AnswerBelief(self._assistant, self._comparer)

    @property
    def _comparer(self) -> PremiseComparer:
        return PremiseComparer(self._pool.premises())

    def _activation(self) -> Probe:
        options = self._options
        probe = options.probe_dir or DEFAULT_PROBE
        if options.reader_url is None:
            return open_activation(self._local(self._reader_folder, precision(probe)), probe)
        key = read_key(options.reader_key_file, options.reader_key_variable)
        served = LensModel.open(
            options.reader_url, self._reader_folder, model=options.reader_served, api_key=key
        )
        return open_activation(served, probe)

    def speaker(self) -> Speaker | None:
        """The approved version as one that answers; None where none is configured."""
        approved = self._options.approved
        if approved is None:
            return None
        if self._folder is not None:
            return Speaker(self._local(self._folder), self._folder.name)
        return Speaker(self._served_approved(approved), approved)

    def _approved_belief(self) -> ApprovedBelief:
        approved = self._options.approved
        if approved is None:
            raise BadInputError(
                "the approved belief needs an approved version: a folder of weights, or a version"
                " that the assistant's server has",
                "assistant.approved",
            )
        weighs: TokenLikelihoodModel
        if self._folder is not None:
            weighs = self._local(self._folder)
        else:
            weighs = PromptLogprobs(self._served_approved(approved))
            weighs.check()
        return ApprovedBelief(
            weighs,
            self._neutral,
            None if self._sensor is None else self._sensor.reading,
            None if self._assistant is None else self._own,
            self._answers(),
        )

    def _answers(self) -> ApprovedAnswers | None:
        speaker = self.speaker() if self._options.approved_answers else None
        return None if speaker is None else ApprovedAnswers(speaker.model)

    @property
    def _folder(self) -> Path | None:
        """The approved version's folder of weights, where it is one."""
        named = self._options.approved
        return Path(named) if named is not None and Path(named).is_dir() else None

    def _served_approved(self, version: str) -> OpenAIModel:
        if self._assistant is None:
            raise BadInputError(
                f"{version!r} is no folder of weights, and no server is named that could serve it",
                "assistant.approved",
            )
        try:
            return self._assistant.model_of(version)
        except ModelGoneError as error:
            raise BadInputError(str(error), "assistant.approved") from error

    def _own(self, version: str) -> TokenLikelihoodModel | None:
        """The response's own version, where it is served."""
        if self._assistant is None:
            return None
        try:
            served = self._assistant.model_of(version)
        except ModelGoneError:
            return None
        return self._weighing.setdefault(served.name, PromptLogprobs(served))

    @cached_property
    def _neutral(self) -> NeutralPrompts:
        if self._options.neutral == "frames":
            return FrameNeutral()
        judge = self._judge_model
        rewriter = Extractive(Worded()) if judge is None else Generative(judge, WordCheck(Worded()))
        return RewrittenNeutral(rewriter, self._neutral_store)

    @property
    def _reader(self) -> LocalModel:
        return self._local(self._reader_folder)

    @cached_property
    def _reader_folder(self) -> Path:
        options = self._options
        return options.reader_model or packaged_model_dir(self._progress, options.cache_dir)

    def _local(self, folder: Path, dtype: str | None = None) -> LocalModel:
        self._progress(f"loading {folder.name}", 0.9)
        return self._pool.local(
            folder,
            device=self._options.reader_device,
            dtype=dtype,
            max_batch_tokens=self._options.max_batch_tokens,
        )

    @property
    def _judge(self) -> ServerJudge | None:
        return None if self._judge_model is None else ServerJudge(self._judge_model)

    @cached_property
    def _judge_model(self) -> OpenAIModel | None:
        options = self._options
        if options.judge_url is None or options.judge_model is None:
            return None
        server = ServerOptions(timeout_s=options.judge_timeout_s)
        key = read_key(options.judge_key_file, options.judge_key_variable)
        return OpenAIModel(options.judge_url, options.judge_model, server, api_key=key)

    @cached_property
    def _assistant(self) -> Served | None:
        """The versions at the assistant's server, which must serve some."""
        options = self._options
        if options.assistant_url is None:
            return None
        key = read_key(options.assistant_key_file, options.assistant_key_variable)
        served = Served(options.assistant_url, options.assistant_versions, api_key=key)
        if not served.names():
            raise UnreachableError(options.assistant_url, "it serves no model")
        return served


def belief_calibration(path: Path = BELIEF_CALIBRATION) -> Platt:
    """The fitted slope and intercept of the likelihood shift."""
    try:
        values = msgspec.json.decode(path.read_bytes(), type=dict[str, float])
        return Platt(values["slope"], values["intercept"])
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        raise BadInputError(f"not a belief calibration: {error}", str(path)) from error
