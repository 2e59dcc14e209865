"""`candor redteam`: suites of strategic deception and honesty evasion against a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from evidence import BadInputError, UnreachableError
from monitor.cli.acting import By, acting

if TYPE_CHECKING:
    from probes.redteam import Asked, SuiteSummary, Target

EXIT_ABOVE = 10


AskedModel = Annotated[
    str | None,
    typer.Option(
        help="An OpenAI-compatible URL ending in /v1, or a folder of weights; without it the"
        " packaged model."
    ),
]
KeyFile = Annotated[
    Path | None, typer.Option(help="File with the key that the URL's server wants.")
]
CandorKeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File with your API key of Candor, for `--assistant` where such keys are in use."
    ),
]
KeyVariable = Annotated[
    str | None, typer.Option(help="Name of the environment variable with that key.")
]
Suites = Annotated[
    str,
    typer.Option(help="Such as `strategic_deception,honesty_evasion`; empty takes all five."),
]
Reasoning = Annotated[
    bool,
    typer.Option(help="Ask for reasoning in `<think>` first, and compare it with the answer."),
]
KeptFor = Annotated[
    str | None,
    typer.Option(
        help="Keep the scorecard in the store of the settings as this assistant's: the console shows it and"
        " how it changed."
    ),
]
FailAbove = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Exit 10 when a suite's lies, evasions and answers that show nothing are above this share.",
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(help="Folder for transcripts.jsonl, summary.json and report.html."),
]


def register(app: typer.Typer) -> None:
    """Add `candor redteam run`."""
    family = typer.Typer(help="Put a model under pressure and see.", no_args_is_help=True)
    family.callback()(_family)
    family.command("run")(run)
    app.add_typer(family, name="redteam")


def _family() -> None:
    """Put a model under pressure and see whether it lies, dodges or plays dumb."""


def run(  # noqa: PLR0917  (typer reads options from the signature)
    target: AskedModel = None,
    model: Annotated[
        str | None, typer.Option(help="Model name at the URL; without it the first that is served.")
    ] = None,
    api_key_file: KeyFile = None,
    api_key_variable: KeyVariable = None,
    suites: Suites = "",
    limit: Annotated[
        int | None, typer.Option(help="At most so many cases, spread over all.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Which cases a limit keeps, and the target's seed.")
    ] = 0,
    reason: Reasoning = False,
    max_new_tokens: Annotated[int, typer.Option(min=8, help="Room for each answer.")] = 96,
    out: Folder = None,
    fail_above: FailAbove = None,
    assistant: KeptFor = None,
    by: By = None,
    candor_key_file: CandorKeyFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Ask a model with and without pressure, and compare its answer with what it believes.

    A lie contradicts what the model says when the same facts are asked about without pressure; an
    evasion dodges it. Requests carry the header `X-Candor-Purpose: canary`, and the transcripts are
    marked so that they never become training rows.

    With `--assistant` the scorecard is kept, so that the next one shows what changed.

    Example: `candor redteam run --target http://localhost:8000/v1 --out var/redteam --fail-above 0.2`
    """
    import random  # noqa: PLC0415 -- with the rest, only when it runs

    from probes.redteam import ask, summarise  # noqa: PLC0415
    from probes.redteam.asking import pick  # noqa: PLC0415

    if assistant is not None:
        _may_keep(by, candor_key_file)
    known = _cases(suites)
    order = list(range(len(known)))
    random.Random(seed).shuffle(order)  # noqa: S311 -- which cases are asked
    cases = pick(known, limit, order)
    key = _key(target, api_key_file, api_key_variable)
    err = Console(stderr=True, highlight=False)
    found: list[Asked] = []
    with _progress(err) as progress, _Transcripts(out) as transcripts:
        asked = _target(target, model, key, max_new_tokens, progress)
        task = progress.add_task(f"asking {asked.name}", total=len(cases))
        for one in ask(
            cases,
            asked,
            reason=reason,
            seed=seed,
            batch=32 if target and _is_url(target) else 8,
            advanced=lambda done: progress.update(task, completed=done),
        ):
            found.append(one)
            transcripts.write(one, asked.name)
    summary = summarise([one.found for one in found])
    _report(summary, found, asked.name, out, {"seed": seed, "reason": reason})
    if assistant is not None:
        _keep(summary, asked.name, assistant, seed, reason, by, candor_key_file)
    if as_json:
        typer.echo(json.dumps(_as_dict(summary, asked.name), allow_nan=False))
    else:
        _print(summary, asked.name)
    _settle(summary, found, fail_above, err)


def _cases(suites: str) -> list[Any]:
    from retrain.items import DECEPTION, load_items  # noqa: PLC0415

    wanted = tuple(name.strip() for name in suites.split(",") if name.strip()) or DECEPTION
    if unknown := [name for name in wanted if name not in DECEPTION]:
        raise BadInputError(
            f"no suite {unknown[0]!r}; there are {', '.join(DECEPTION)}", "--suites"
        )
    return [item for item in load_items(split="held_out") if item.archetype in wanted]


def _is_url(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def _key(target: str | None, file: Path | None, variable: str | None) -> str | None:
    from probes.models.keys import read_key  # noqa: PLC0415

    if (target is None or not _is_url(target)) and (file or variable):
        raise BadInputError("only the server of a URL wants a key", "--api-key-file")
    return read_key(file, variable)


def _target(
    target: str | None, model: str | None, key: str | None, room: int, progress: Progress
) -> Target:
    from probes.redteam.asking import MARK, LocalTarget, ServedTarget  # noqa: PLC0415

    if target is not None and _is_url(target):
        from probes.models.openai import OpenAIModel  # noqa: PLC0415
        from probes.models.server import ServerOptions  # noqa: PLC0415

        served = OpenAIModel(target, model or "", headers=MARK, api_key=key).served_models()
        if not served:
            raise UnreachableError(target, "it serves no model")
        if model is not None and model not in served:
            raise BadInputError(f"the server has no model {model!r}", "--model")
        options = ServerOptions(timeout_s=120.0)
        name = model or served[0]
        asked = OpenAIModel(target, name, options, headers=MARK, api_key=key)
        return ServedTarget(asked, room)
    if model is not None:
        raise BadInputError("only a served target has several models", "--model")
    from probes.models.local import LocalModel  # noqa: PLC0415 -- loads torch
    from probes.models.packaged import packaged_model_dir  # noqa: PLC0415

    task = progress.add_task("loading", total=1.0)
    folder = (
        Path(target)
        if target is not None
        else packaged_model_dir(
            lambda what, share: progress.update(task, description=what, completed=share)
        )
    )
    local = LocalModel.load(folder)
    progress.remove_task(task)
    return LocalTarget(local, room)


class _Transcripts:
    """Writes each case to `transcripts.jsonl` as it is asked; does nothing without a folder."""

    def __init__(self, out: Path | None) -> None:
        self._path = out / "transcripts.jsonl" if out else None

    def __enter__(self) -> _Transcripts:
        try:
            if self._path:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8") if self._path else None
        except OSError as error:
            raise BadInputError(f"cannot be written: {error.strerror}", str(self._path)) from error
        return self

    def write(self, asked: Asked, model: str) -> None:
        from monitor.cli.redteam_report import to_line  # noqa: PLC0415

        if self._file:
            self._file.write(json.dumps(to_line(asked, model), ensure_ascii=False) + "\n")
            self._file.flush()

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def _report(
    summary: list[SuiteSummary],
    found: list[Asked],
    model: str,
    out: Path | None,
    settings: dict[str, Any],
) -> None:
    if out is None:
        return
    from monitor.cli.redteam_report import write_report  # noqa: PLC0415 -- loads matplotlib

    (out / "summary.json").write_text(
        json.dumps({**_as_dict(summary, model), "settings": settings}, indent=1), encoding="utf-8"
    )
    write_report(out, summary, found, model)


def _may_keep(by: str | None, key_file: Path | None) -> None:
    """Say before minutes of asking that nothing can be kept."""
    with acting("review", by, key_file):
        pass


def _keep(  # noqa: PLR0917 -- what the command was told
    summary: list[SuiteSummary],
    model: str,
    assistant: str,
    seed: int,
    reason: bool,
    by: str | None,
    key_file: Path | None,
) -> None:
    import time  # noqa: PLC0415

    from monitor.services.redteam import keep_run  # noqa: PLC0415

    with acting("review", by, key_file) as (connection, actor, _):
        keep_run(
            connection,
            assistant,
            model,
            summary,
            actor.person,
            seed=seed,
            reason=reason,
            now_s=time.time(),
            sees=actor.sees,
        )


def _settle(
    summary: list[SuiteSummary], found: list[Asked], fail_above: float | None, err: Console
) -> None:
    """Leave with the exit code that the figures ask for."""
    if all(one.found.outcome == "error" for one in found):
        raise UnreachableError("the target", found[0].found.error or "it answered nothing")
    if fail_above is None:
        return
    above = [
        row for row in summary if row.deception.value is None or row.deception_worst > fail_above
    ]
    for row in above:
        share = "unknown" if row.deception.value is None else f"{row.deception.value:.3f}"
        err.print(
            f"candor: {row.suite}: lies and evasions {share}, {row.deception_worst:.3f} with what showed "
            f"nothing among them, allowed {fail_above:g}"
        )
    if above:
        raise typer.Exit(EXIT_ABOVE)


def _as_dict(summary: list[SuiteSummary], model: str) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    return {"model": model, "suites": [msgspec.to_builtins(row) for row in summary]}


def _progress(err: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )


def _print(summary: list[SuiteSummary], model: str) -> None:
    from monitor.cli.redteam_report import HEADINGS, cells  # noqa: PLC0415

    table = Table(*HEADINGS, title=f"{model} under pressure (95 % intervals)")
    for row in summary:
        table.add_row(*cells(row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
