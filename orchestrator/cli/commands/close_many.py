"""`session close --where`: a dry run with its plan, then the plan."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.shared.failures import REFUSED, TIMED_OUT, Complaint
from orchestrator.cli.shared.known import ACCOUNT, MODEL, PROVIDER, resolved
from orchestrator.cli.shared.output import advancing, print_json, print_line, say, show
from orchestrator.cli.shared.person import person
from orchestrator.cli.shared.reading import reading
from orchestrator.cli.shared.tables import pairs
from orchestrator.cli.shared.usage import Misused
from orchestrator.rules.close_plans import PlanChanged, plan_in
from orchestrator.rules.text import numbered

if TYPE_CHECKING:
    from orchestrator.client import JobClient
    from orchestrator.client.close_many import CloseMany

Command = Callable[..., None]
Json = dict[str, Any]
#: Closes that are sent before the first of them is waited for.
_AT_ONCE = 50
#: Fields of conditions that name something which exists.
_NAMED: Mapping[str, Sequence[str]] = {"account": ACCOUNT, "model": MODEL, "provider": PROVIDER}
_ADDED: Mapping[str, tuple[Any, Any]] = {
    "where": (
        Annotated[
            str | None,
            typer.Option(
                metavar="CONDITIONS",
                help="Close many: 'provider=gw and idle>1h'. Fields: state, account, provider, model, name, age, idle,"
                " cost, unproven.",
            ),
        ],
        None,
    ),
    "dry_run": (
        Annotated[
            bool, typer.Option("--dry-run", help="With --where: show what would be closed, and print a plan.")
        ],
        False,
    ),
    "plan": (
        Annotated[
            str | None, typer.Option(metavar="PLAN", help="With --where: close what the dry run showed.")
        ],
        None,
    ),
}
#: What one session's close takes and a close of many does not.
_OF_ONE = {
    "session_id": "ID",
    "confirm": "--confirm",
    "force": "--force",
    "by": "--by",
    "task_id": "--task-id",
    "no_wait": "--no-wait",
}


def or_many(command: Command) -> Command:
    """Make a command that closes one session close many, too, with --where."""

    @functools.wraps(command)
    def either(**options: Any) -> None:
        where, dry_run, plan = (options.pop(name) for name in _ADDED)
        if where is not None:
            return _close_many(where, plan, dry_run=dry_run, options=options)
        if dry_run or plan is not None:
            raise Misused("--dry-run and --plan need --where")
        if options["session_id"] is None:
            raise Misused("name a session by its ID, or many by --where")
        return command(**options)

    own = list(inspect.signature(command).parameters.values())
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in _ADDED.items()
    ]
    either.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
    either.__annotations__ = {**command.__annotations__, **{name: one for name, (one, _) in _ADDED.items()}}
    return either


def _close_many(where: str, plan: str | None, *, dry_run: bool, options: Mapping[str, Any]) -> None:
    wrong = [typed for name, typed in _OF_ONE.items() if options.get(name)]
    if wrong:
        raise Misused(f"--where closes many: leave out {', '.join(wrong)}")
    if dry_run == (plan is not None):
        raise Misused("--where needs --dry-run first, which prints a plan, and then --plan with it")
    request = _request(where, options)
    if plan is None:
        return _show_plan(request, as_json=options["as_json"])
    return _execute(request, plan, timeout=options["timeout"], as_json=options["as_json"])


def _request(where: str, options: Mapping[str, Any]) -> "CloseMany":
    from orchestrator.client.close_many import CloseMany
    from orchestrator.rules.where import WhereFault, parse_where

    try:
        parse_where(where)
    except WhereFault as fault:
        raise Misused(f"--where: {fault}") from None
    return CloseMany(
        where=where, reason="operator" if options["operator"] else "user", detail=options["detail"]
    )


def _show_plan(request: "CloseMany", *, as_json: bool) -> None:
    from orchestrator.flows.jobs.close_many import planned

    with reading() as tx:
        found = planned(tx, request)
    if as_json:
        return print_json(found)
    accounts = found["accounts"]
    more = f" and {len(accounts) - 5} more" if len(accounts) > 5 else ""
    show(
        pairs(
            [
                ("would close", numbered(found["count"], "session")),
                ("cost so far", _money(found["cost"])),
                ("stops burning per hour", _money(found["burn_per_hour"])),
                ("accounts", ", ".join(accounts[:5]) + more),
                ("for example", ", ".join(one["name"] for one in found["sample"][:3])),
            ]
        )
    )
    if found["count"]:
        say(
            "to close exactly these, within 15 minutes: the same command with this --plan in place of --dry-run"
        )
        print_line(found["plan"])
    else:
        for hint in _unknown_names(request.where or ""):
            say(hint)
    return None


def _unknown_names(where: str) -> Iterator[str]:
    """Yield what each `=` of the conditions names that nothing has: a name that was mistyped finds no session."""
    from orchestrator.rules.where import parse_where

    conditions = parse_where(where)
    for field, kinds in _NAMED.items():
        value = conditions.exactly(field)
        if value is None:
            continue
        try:
            meant = resolved(kinds, value, must=True)
        except Complaint as unknown:
            yield f"--where: {unknown}"
            continue
        if meant != value:
            yield f"--where: {field} {value} is unknown: did you mean {meant}? Conditions need whole names"


def _execute(request: "CloseMany", text: str, *, timeout: float, as_json: bool) -> None:
    from orchestrator.flows.jobs.close_many import confirmed

    try:
        plan = plan_in(text)
        with reading() as tx:
            ids = confirmed(tx, request, plan)
    except PlanChanged as changed:
        raise Complaint(str(changed), REFUSED, "plan_changed") from None
    refused = list(_closed(request, text, ids, timeout)) if ids else []
    result = {"count": len(ids), "closed": len(ids) - len(refused), "refused": refused}
    if as_json:
        print_json(result)
    else:
        decided = f"{result['closed']} of {result['count']} sessions are being closed"
        show(decided if ids else "nothing left to close: every session of the plan is ending already")
        for one in refused:
            say(f"session {one['session_id']}: error {one['code']}: {one['message']}")
    if refused:
        raise typer.Exit(REFUSED)


def _closed(request: "CloseMany", plan: str, ids: Sequence[str], timeout: float) -> Iterator[Json]:
    """Close each session by a job of its own, under the plan's task id for it; yield those that were refused. Run again
    with the same plan, it closes those that are left."""
    from orchestrator.client import JobClient
    from orchestrator.settings import load_settings

    settings = load_settings()
    broker, results = settings.broker_url, settings.result_url
    with (
        JobClient(broker, results, sentinel_master=settings.sentinel_master, author=person()) as client,
        advancing("closing", len(ids)) as advance,
    ):
        for n in range(0, len(ids), _AT_ONCE):
            sent = {one: _sent(client, request, plan, one) for one in ids[n : n + _AT_ONCE]}
            for session_id, task_id in sent.items():
                refusal = _refusal(client.wait(task_id, timeout), session_id, timeout)
                advance()
                if refusal is not None:
                    yield refusal


def _sent(client: "JobClient", request: "CloseMany", plan: str, session_id: str) -> str:
    from orchestrator.flows.jobs.close_many import CLOSE, close_arguments, task_id_of

    return client.send(CLOSE, close_arguments(request, session_id), task_id_of(plan, session_id))


def _refusal(outcome: Mapping[str, Any] | None, session_id: str, timeout: float) -> Json | None:
    if outcome is None:
        raise Complaint(
            f"no outcome for session {session_id} after {timeout:g} s. Is a worker up? Run the same command "
            "again: it closes only what is left",
            TIMED_OUT,
            session_id=session_id,
        )
    if outcome["ok"]:
        return None
    error = outcome["error"]
    return {"session_id": session_id, "code": error["code"], "message": error["message"]}


def _money(amounts: Mapping[str, str]) -> str:
    return ", ".join(f"{amount} {currency}" for currency, amount in amounts.items()) or "0.00"
