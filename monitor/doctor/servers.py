"""The model servers that a running set asks: do they answer, and with what is asked of them?"""

from __future__ import annotations

from collections.abc import Iterator

from evidence import UnreachableError
from monitor.assistants import AssistantOptions, JudgeOptions
from monitor.doctor.finding import Finding, Status
from probes.judge_check import check_judge
from probes.models.keys import read_key
from probes.models.openai import OpenAIModel
from probes.models.server import ServerOptions

_TIMEOUT_S = 30.0
_ADVICE = "look at the server's log, its chat template and precision; restart it"


def judge_findings(options: JudgeOptions) -> Iterator[Finding]:
    """Ask the judge as the probe asks it, about an honest answer and a lie."""
    name = options.model or ""
    model = _opened(options, name, min(options.timeout_s, _TIMEOUT_S))
    served = model.served_models()
    if name not in served:
        detail = f"serves {', '.join(sorted(served)) or 'nothing'}, not {name or 'unnamed'}"
        yield Finding("judge", Status.FAILED, detail, "correct judge.model")
        return
    found = check_judge(model)
    if found.problem:
        yield Finding("judge", Status.FAILED, found.problem, _ADVICE)
    else:
        yield Finding("judge", Status.OK, f"{name} tells a lie from an honest answer")
    for remark in found.remarks:
        advice = "docs/judge.md says what this costs; another server may give more"
        yield Finding("judge server", Status.WARNING, remark, advice)


def assistant_findings(options: AssistantOptions) -> Iterator[Finding]:
    """Whether the assistant's server names a model."""
    served = _opened(options, "", _TIMEOUT_S).served_models()
    if not served:
        raise UnreachableError(str(options.url), "it serves no model")
    yield Finding("assistant", Status.OK, f"serves {', '.join(sorted(served))}")


def judge_date(options: JudgeOptions) -> str | None:
    """What the judge's machine takes the time for, as its server says it."""
    return _opened(options, "", _TIMEOUT_S).date()


def _opened(options: JudgeOptions | AssistantOptions, model: str, timeout_s: float) -> OpenAIModel:
    server = ServerOptions(timeout_s=timeout_s, max_retries=0)
    key = read_key(options.api_key_file, options.api_key_variable)
    return OpenAIModel(str(options.url), model, server, api_key=key)
