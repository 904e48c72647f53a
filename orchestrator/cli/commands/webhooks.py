"""`webhook list|put|delete|test|replay`: where events are sent to."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.shared.failures import NOT_FOUND, REFUSED, Complaint
from orchestrator.cli.shared.fitting import Column, Forms
from orchestrator.cli.shared.known import ACCOUNT, DEAD_LETTER, WEBHOOK, known
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, print_line, progress, say, show
from orchestrator.cli.shared.reading import opened
from orchestrator.cli.shared.short_ids import id_cells
from orchestrator.cli.shared.tables import table
from orchestrator.cli.shared.times import away, when, whens
from orchestrator.cli.shared.usage import Misused
from orchestrator.rules import webhooks as rule
from orchestrator.rules.events import rfc3339
from orchestrator.rules.installation.secret_texts import NOT_A_REFERENCE, is_reference

if TYPE_CHECKING:
    from orchestrator.flows.operations.webhooks import WebhookReport
    from orchestrator.rules.values import Webhook
    from orchestrator.store.database import Database

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COLUMNS = (
    Column("name", whole=True),
    Column("url", rank=2),
    Column("events", rank=4, prose=2),
    Column("accounts", rank=3, prose=2),
    Column("waiting"),
    Column("dead"),
    Column("last answer", rank=1, prose=2),
)
_DEAD_COLUMNS = (
    Column("webhook"),
    Column("event", whole=True),
    Column("type", rank=1),
    Column("subject", rank=4),
    Column("tries", rank=3),
    Column("since", rank=2),
    Column("last answer", prose=2),
)

_INACTIVE = "is inactive: nothing is sent until it is put again without --inactive"
_ACTIVE = "receives events from now on; `orchestrator webhook test` tries it"

app = typer.Typer()
Name = Annotated[str, typer.Argument(help="Its name, as `webhook list` shows it.", **known(WEBHOOK))]


@app.command("list")
def list_webhooks(
    dead: Annotated[bool, typer.Option("--dead", help="Show the events that were given up.")] = False,
    as_json: AsJson = False,
) -> None:
    """List webhooks, with what waits for another try, and what was given up after a day."""
    from orchestrator.flows.operations.webhooks import as_json as as_json_of
    from orchestrator.flows.operations.webhooks import reports

    with opened() as database:
        if dead:
            return _list_dead(database, as_json=as_json)
        found = reports(database)
        with database.reading() as tx:
            now = tx.now()
    if as_json:
        return print_json([as_json_of(one) for one in found])
    rows = [
        (
            one.webhook.name,
            one.webhook.url,
            ", ".join(one.webhook.event_types) or "all",
            ", ".join(one.webhook.account_ids) or "all",
            _waiting(one, now),
            str(one.backlog.dead),
            one.webhook.last_answer or ("" if one.webhook.active else "inactive"),
        )
        for one in found
    ]
    return show(table(_COLUMNS, rows))


@app.command()
def put(
    name: Annotated[str, typer.Argument(help="A new name, or that of the webhook to change.")],
    url: Annotated[str, typer.Option(help="https://…; http:// only for this machine itself.")],
    secret: Annotated[
        list[str],
        typer.Option(help="env:NAME or file:/path of a whsec_… secret; a second one while you change it."),
    ],
    event: Annotated[
        list[str] | None,
        typer.Option(help="A type such as orchestrator.session.*; may be repeated; all by default."),
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(help="Only events of this account; may be repeated; all by default.", **known(ACCOUNT)),
    ] = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="Send nothing until it is put again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a webhook, or change one. A new one receives what happens from now on."""
    from orchestrator.flows.operations.webhooks import InTheFile, WebhookReport, idle_filters, put_webhook
    from orchestrator.flows.operations.webhooks import as_json as as_json_of
    from orchestrator.settings.configuration import WebhookConfiguration
    from orchestrator.store.queries.webhooks import Backlog

    _check(name, url, secret, event or [])
    given = WebhookConfiguration(
        url=url,
        secret_refs=tuple(secret),
        event_types=tuple(event or ()),
        account_ids=tuple(account or ()),
    )
    with opened() as database:
        try:
            webhook = put_webhook(database, name, given, active=not inactive)
        except InTheFile:
            raise _in_the_file(name) from None
        notes = idle_filters(database, given)
    _name_useless(secret)
    for note in notes:
        say(note)
    if as_json:
        return print_json(as_json_of(WebhookReport(webhook=webhook, backlog=Backlog())))
    return print_line(f"{name} {_INACTIVE if inactive else _ACTIVE}")


def _name_useless(secret_refs: list[str]) -> None:
    """Say which secrets are not here, or cannot sign: workers may have others anyway."""
    from orchestrator.flows.operations.webhooks import unfit_secrets
    from orchestrator.settings.secrets import SecretStore

    secrets = SecretStore()
    for fault in secrets.missing(secret_refs):
        say(f"{fault} here; workers of the kind control need it: until they have it, nothing is sent")
    for note in unfit_secrets(secrets, secret_refs):
        say(note)


@app.command()
def delete(name: Name) -> None:
    """Delete a webhook, and what waits for it."""
    from orchestrator.flows.operations.webhooks import InTheFile, delete_webhook

    with opened() as database:
        try:
            found = delete_webhook(database, name)
        except InTheFile:
            raise _in_the_file(name) from None
    if not found:
        raise _unknown(name)
    return print_line(f"{name} is deleted")


@app.command("test")
def send_test(name: Name, as_json: AsJson = False) -> None:
    """Send a signed event of the type orchestrator.webhook.test, and show the answer. Exit code 1 if it did not
    arrive."""
    with opened() as database:
        webhook = _found(database, name)
    with progress(f"asking {webhook.url}"):
        answer = _answer_of(webhook)
    if as_json:
        print_json({"webhook": name, "url": webhook.url, "arrived": answer is None, "answer": answer})
    elif answer is None:
        print_line(f"{name} accepted the event")
    if answer is not None:
        raise Complaint(f"{name} did not accept the event: {answer}", REFUSED)


@app.command()
def replay(
    name: Name,
    event: Annotated[
        list[str] | None,
        typer.Option(
            help="The id of an event; may be repeated. By default all that were given up.",
            **known(DEAD_LETTER),
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send events again that were given up, or any event that is still kept."""
    from orchestrator.flows.operations.webhooks import NotReceived, delivery_as_json
    from orchestrator.flows.operations.webhooks import replay as replay_events

    with opened() as database:
        _found(database, name)
        try:
            sent = replay_events(database, name, event or ())
        except LookupError as error:
            unknown = f"no event with this id exists, or it is no longer kept: {error.args[0]}"
            raise Complaint(
                f"{unknown}; `orchestrator webhook list --dead` has those given up", NOT_FOUND
            ) from None
        except NotReceived as error:
            raise Complaint(str(error), REFUSED) from None
    if as_json:
        return print_json([delivery_as_json(one) for one in sent])
    return print_line(f"{len(sent)} of its events are sent again")


def _answer_of(webhook: "Webhook") -> str | None:
    """Send the test event; return why it did not arrive, None if it did."""
    from orchestrator import wiring
    from orchestrator.settings import load_settings

    settings = load_settings()
    built = wiring.build(settings, wiring.read_configuration(settings), pool_size=1)
    try:
        with built.services.database.reading() as tx:
            now = tx.now()
        return built.services.loop.run(built.webhooks.try_out(webhook, now))
    finally:
        built.close()


def _list_dead(database: "Database", *, as_json: bool) -> None:
    from orchestrator.flows.operations.webhooks import delivery_as_json

    with database.reading() as tx:
        now, found = tx.now(), tx.webhooks.dead_letters()
    if as_json:
        return print_json([delivery_as_json(one) for one in found])
    events, subjects = id_cells(one.event_id for one in found), id_cells(one.subject for one in found)
    rows = [
        (
            one.webhook,
            events[one.event_id],
            one.type.removeprefix("orchestrator."),
            subjects[one.subject],
            str(one.tries),
            whens(rfc3339(one.time), now),
            one.last_answer or "",
        )
        for one in found
    ]
    say("`orchestrator webhook replay NAME` sends them again" if rows else "nothing was given up")
    return show(table(_DEAD_COLUMNS, rows))


def _check(name: str, url: str, secrets: list[str], patterns: list[str]) -> None:
    """Raise Misused where something cannot be a webhook's."""
    if _NAME.fullmatch(name) is None:
        raise Misused("NAME: must be 1 to 64 letters, digits, dots, dashes or underscores")
    fault = rule.url_fault(url)
    if fault is not None:
        raise Misused(f"--url: {fault}")
    if len(secrets) > rule.MOST_SECRETS:
        raise Misused(f"--secret: at most {rule.MOST_SECRETS} may sign at once")
    if not all(map(is_reference, secrets)):
        raise Misused(f"--secret: {NOT_A_REFERENCE}")
    for pattern in patterns:
        fault = rule.pattern_fault(pattern)
        if fault is not None:
            raise Misused(f"--event {pattern}: {fault}")


def _found(database: "Database", name: str) -> "Webhook":
    with database.reading() as tx:
        webhook = tx.webhooks.get(name)
    if webhook is None:
        raise _unknown(name)
    return webhook


def _unknown(name: str) -> Complaint:
    return Complaint(f"no webhook has this name: {name}; `orchestrator webhook list` has all", NOT_FOUND)


def _in_the_file(name: str) -> Complaint:
    return Complaint(
        f"{name} is defined in the configuration file under [webhooks.{name}]: change it there", REFUSED
    )


def _waiting(report: "WebhookReport", now: Any) -> Forms:
    waiting, oldest = report.backlog.waiting, rfc3339(report.backlog.oldest)
    if not waiting:
        return Forms(["0"])
    return Forms([f"{waiting} since {when(oldest, now)}", f"{waiting}, {away(oldest, now, 1)}", str(waiting)])
