"""The model servers that a running set asks: do they answer, and with what is asked of them?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evidence import CandorError, UnreachableError
from monitor.assistants import AssistantOptions, JudgeOptions, made_sensor
from monitor.doctor.finding import Finding, Status
from probes.judge_check import check_judge
from probes.models.keys import read_key
from probes.models.openai import OpenAIModel
from probes.models.prompt_logprobs import PromptLogprobs
from probes.models.server import ServerOptions

_TIMEOUT_S = 30.0
_ADVICE = "look at the server's log, its chat template and precision; restart it"


def judge_findings(options: JudgeOptions, *, whose: str = "") -> Iterator[Finding]:
    """Ask the judge as the probe asks it, about an honest answer and a lie.

    `whose` is the assistant whose own judge it is.
    """
    name, part = options.model or "", judge_part(whose)
    model = _opened(options, name, min(options.timeout_s, _TIMEOUT_S))
    served = model.served_models()
    if name not in served:
        detail = f"serves {_listed(served)}, not {name or 'unnamed'}"
        yield Finding(part, Status.FAILED, detail, f"correct {judge_section(whose)}.model")
        return
    found = check_judge(model)
    if found.problem:
        yield Finding(part, Status.FAILED, found.problem, _ADVICE)
    else:
        yield Finding(part, Status.OK, f"{name} tells a lie from an honest answer")
    for remark in found.remarks:
        advice = "docs/judge.md says what this costs; another server may give more"
        yield Finding(f"judge server{_of(whose)}", Status.WARNING, remark, advice)


def assistant_findings(
    options: AssistantOptions, *, whose: str = "", approved: str | None = None
) -> Iterator[Finding]:
    """Whether the assistant's server answers, its approved version is there, and it has a sensor.

    Parameters
    ----------
    whose
        Its name; empty for `[assistant]`.
    approved
        The approved version on record, which goes before that of the settings.
    """
    part = assistant_part(whose)
    served: list[str] = []
    yield _sensor(options, whose)
    if options.url is None:
        detail = "no server: belief and consistency cannot be asked of the assistant itself"
        yield Finding(part, Status.OK, detail)
    else:
        served = _opened(options, "", _TIMEOUT_S).served_models()
        if not served:
            raise UnreachableError(str(options.url), "it serves no model")
        yield Finding(part, Status.OK, f"serves {_listed(served)}")
    yield from _missing(options, served, approved or options.approved, whose)


def judge_part(whose: str) -> str:
    """What findings about the judge of an assistant are called."""
    return f"judge{_of(whose)}"


def assistant_part(whose: str) -> str:
    """What findings about an assistant's server are called."""
    return f"assistant {whose}".strip()


def judge_section(whose: str) -> str:
    """The section of the settings that has the judge of an assistant."""
    return f"assistants.{whose}.judge" if whose else "judge"


def assistant_section(whose: str) -> str:
    """The section of the settings of an assistant."""
    return f"assistants.{whose}" if whose else "assistant"


def judge_date(options: JudgeOptions) -> str | None:
    """What the judge's machine takes the time for, as its server says it."""
    return _opened(options, "", _TIMEOUT_S).date()


def _missing(
    options: AssistantOptions, served: list[str], approved: str | None, whose: str
) -> Iterator[Finding]:
    """What the settings name and nobody serves."""
    section = assistant_section(whose)
    for version, name in options.versions.items():
        if name not in served:
            detail = f"version {version} is {name} at the server, which serves {_listed(served)}"
            advice = f"load the adapter, or correct {section}.versions"
            yield Finding(f"version{_of(whose)}", Status.WARNING, detail, advice)
    if approved is None:
        return
    part = f"approved version{_of(whose)}"
    folder = Path(approved)
    if folder.is_dir() and not (folder / "config.json").is_file():
        advice = "name a folder with config.json and safetensors"
        yield Finding(part, Status.FAILED, f"{approved} holds no model", advice)
    elif folder.is_dir():
        yield Finding(part, Status.OK, approved)
    elif options.versions.get(approved, approved) in served:
        yield from _weighed(options, options.versions.get(approved, approved), part)
    else:
        detail = f"{approved} is neither served nor a folder"
        yield Finding(part, Status.FAILED, detail, f"serve it, or correct {section}.approved")


def _weighed(options: AssistantOptions, name: str, part: str) -> Iterator[Finding]:
    """Whether the approved belief can weigh replies with the served version."""
    try:
        remarks = PromptLogprobs(_opened(options, name, _TIMEOUT_S)).check()
    except UnreachableError:
        raise
    except CandorError as error:
        advice = "serve it with vLLM, or name a folder of its weights (docs/sensor.md)"
        yield Finding(part, Status.FAILED, f"{name} cannot weigh a reply: {error}", advice)
        return
    yield Finding(part, Status.OK, f"{name} weighs replies token by token")
    for remark in remarks:
        yield Finding(part, Status.WARNING, remark, "docs/sensor.md says what this costs")


def _sensor(options: AssistantOptions, whose: str) -> Finding:
    part, section = f"sensor{_of(whose)}", assistant_section(whose)
    command = "candor calibrate" + (f" --assistant {whose}" if whose else "")
    folder = options.sensor
    if folder is None and made_sensor(whose).is_dir():
        folder = made_sensor(whose)
    if folder is None:
        advice = f"run `{command}`, then set {section}.sensor"
        return Finding(part, Status.WARNING, "none is fitted to the assistant", advice)
    if not folder.is_dir():
        return Finding(part, Status.FAILED, f"{folder} is no folder", f"run `{command}`")
    return Finding(part, Status.OK, str(folder))


def _of(whose: str) -> str:
    return f" of {whose}" if whose else ""


def _listed(names: list[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _opened(options: JudgeOptions | AssistantOptions, model: str, timeout_s: float) -> OpenAIModel:
    server = ServerOptions(timeout_s=timeout_s, max_retries=0)
    key = read_key(options.api_key_file, options.api_key_variable)
    return OpenAIModel(str(options.url), model, server, api_key=key)
