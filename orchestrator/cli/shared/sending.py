"""Commands that write: they enqueue a job, wait for its outcome, and show it."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import typer

from orchestrator.cli.shared.failures import TIMED_OUT, Complaint, RefusedJob
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, print_line, progress
from orchestrator.cli.shared.person import person
from orchestrator.cli.shared.spans import seconds_of
from orchestrator.cli.shared.usage import Misused, Names, misused, names_of
from orchestrator.rules.installation.messages import task_id_fault

Json: TypeAlias = dict[str, Any]
#: Shows a job's result to people.
Show: TypeAlias = Callable[[Json], None]
#: Waits until what the job began has come about: from the result and the most seconds, to the newest result.
Follow: TypeAlias = Callable[[Json, float], Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class SendOptions:
    """How a job is sent and its outcome printed: the common options of all commands that write."""

    as_json: bool
    no_wait: bool
    timeout: float
    task_id: str | None
    wait_running: float | None = None


_OPTIONS: Mapping[str, tuple[Any, Any]] = {
    "no_wait": (Annotated[bool, typer.Option("--no-wait", help="Print the task id and exit.")], False),
    "timeout": (
        Annotated[
            float,
            typer.Option(
                parser=seconds_of,
                metavar="TIME",
                help="How long to wait for the outcome, in seconds or as 1m30s.",
            ),
        ],
        30.0,
    ),
    "task_id": (
        Annotated[
            str | None, typer.Option(help="An id of your own: repeats with the same id run the job once.")
        ],
        None,
    ),
    "as_json": (AsJson, False),
}
_FOLLOWING: Mapping[str, tuple[Any, Any]] = {
    "wait_running": (
        Annotated[
            float | None,
            typer.Option(
                parser=seconds_of,
                metavar="TIME",
                help="Wait up to this long until the session runs: 90s, 5m.",
            ),
        ],
        None,
    ),
}


def sends(
    job: str, show: Show, follow: Follow | None = None
) -> Callable[[Callable[..., Json]], Callable[..., None]]:
    """Make a command of a function that returns the job's keyword arguments. `SendOptions` are added to its options, so
    that all commands that write share them."""
    added = {**_OPTIONS, **(_FOLLOWING if follow else {})}

    def decorate(arguments_of: Callable[..., Json]) -> Callable[..., None]:
        names = names_of(arguments_of)

        @functools.wraps(arguments_of)
        def command(**options: Any) -> None:
            sending = SendOptions(**{name: options.pop(name) for name in added})
            if sending.no_wait and sending.wait_running is not None:
                raise Misused("--no-wait exits at once, --wait-running waits: give one")
            if sending.task_id is not None and (fault := task_id_fault(sending.task_id)) is not None:
                raise Misused(f"--task-id: {fault}")
            kwargs = arguments_of(**options)
            _check(f"orchestrator.{job}", kwargs, names, options)
            result = outcome_of(f"orchestrator.{job}", kwargs, sending)
            if result is None:
                return
            if follow and sending.wait_running is not None:
                result = follow(result, sending.wait_running)
            print_json(result) if sending.as_json else show(result)

        _declare(command, arguments_of, added)
        return command

    return decorate


def _check(job: str, kwargs: Json, names: Names, options: Mapping[str, Any]) -> None:
    """Check the arguments before sending, so that wrong usage is reported even while no worker runs."""
    from orchestrator.client import InvalidRequest, parse

    try:
        parse(job, kwargs)
    except InvalidRequest as refusal:
        raise misused(refusal.faults, names, options) from None


def outcome_of(name: str, kwargs: Json, sending: SendOptions) -> Json | None:
    """Send the job and wait for its outcome; None with `--no-wait`. Raises Complaint if the job is refused."""
    from orchestrator.client import JobClient
    from orchestrator.settings import load_settings

    settings = load_settings()
    broker, results = settings.broker_url, settings.result_url
    with JobClient(broker, results, sentinel_master=settings.sentinel_master, author=person()) as client:
        task_id = client.send(name, kwargs, sending.task_id)
        if sending.no_wait:
            print_json({"task_id": task_id}) if sending.as_json else print_line(task_id)
            return None
        with progress(f"waiting for the outcome of {name} …"):
            outcome = client.wait(task_id, sending.timeout)
    return _result(outcome, task_id, sending)


def _result(outcome: Mapping[str, Any] | None, task_id: str, sending: SendOptions) -> Json:
    if outcome is None:
        raise Complaint(
            f"no outcome after {sending.timeout:g} s: the job may still run. Is a worker up? The same command with "
            f"--task-id {task_id} waits for its outcome; the job runs only once",
            TIMED_OUT,
            task_id=task_id,
        )
    if not outcome["ok"]:
        error = outcome["error"]
        raise RefusedJob(error["code"], error["message"], error["details"])
    result: Json = outcome["result"]
    return result


def _declare(
    command: Callable[..., None], arguments_of: Callable[..., Json], added: Mapping[str, tuple[Any, Any]]
) -> None:
    """Declare the parameters to typer, which reads the signature and the annotations."""
    own = inspect.signature(arguments_of).parameters.values()
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in added.items()
    ]
    command.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    annotations = {name: annotation for name, (annotation, _) in added.items()}
    command.__annotations__ = {**arguments_of.__annotations__, **annotations, "return": None}
