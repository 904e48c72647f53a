"""`messages`: messages from the broker that cannot be carried out, and wait for an operator."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from orchestrator.cli.shared.failures import NOT_FOUND, Complaint
from orchestrator.cli.shared.fitting import Column
from orchestrator.cli.shared.known import MESSAGE, known
from orchestrator.cli.shared.options import AsJson, Limit
from orchestrator.cli.shared.output import print_json, print_line, say, show
from orchestrator.cli.shared.reading import opened
from orchestrator.cli.shared.short_ids import id_cells
from orchestrator.cli.shared.tables import table
from orchestrator.cli.shared.times import whens
from orchestrator.cli.shared.usage import Misused

if TYPE_CHECKING:
    from orchestrator.rules.installation.messages import ParkedMessage
    from orchestrator.store.database import Database
    from orchestrator.tasks.parked_copies import ParkedCopies

app = typer.Typer()

Ids: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]…", help="As `list` shows them.", **known(MESSAGE))
]
All: TypeAlias = Annotated[bool, typer.Option("--all", help="Every parked message.")]
#: More than are ever kept.
_EVERY = 100_000
_COLUMNS = (
    Column("message", whole=True),
    Column("parked", rank=1),
    Column("queue", rank=3),
    Column("task", rank=2),
    Column("task id", rank=4),
    Column("why", prose=2),
    Column("structure", rank=5, prose=2),
)


@app.command("list")
def list_messages(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List parked messages, the newest first: when, from which queue, why, and their structure."""
    with opened() as database, database.reading() as tx:
        parked, now, total = tx.parked.listed(limit), tx.now(), sum(tx.parked.counts().values())
    if total > len(parked):
        say(f"{len(parked)} of {total} messages: --limit shows more")
    if as_json:
        print_json([_as_json(message) for message in parked])
        return
    ids = id_cells(one.id for one in parked)
    rows = [
        (
            ids[one.id],
            whens(one.parked_at.isoformat(), now),
            one.queue,
            one.task or "?",
            one.task_id or "?",
            one.reason,
            one.head,
        )
        for one in parked
    ]
    show(table(_COLUMNS, rows))


@app.command()
def drop(ids: Ids = None, every: All = False, as_json: AsJson = False) -> None:
    """Drop parked messages for good."""
    with opened() as database, _copies() as copies:
        chosen = _chosen(database, ids, every=every, done="dropped")
        for message in chosen:
            if copies is not None and message.kept_as is not None:
                copies.drop(message.kept_as)
        _remove(database, chosen)
    _print_result("dropped", chosen, as_json=as_json)


@app.command()
def resend(ids: Ids = None, every: All = False, as_json: AsJson = False) -> None:
    """Put parked messages back into their queues, for workers that can carry them out by now."""
    with opened() as database, _copies() as copies:
        chosen = _chosen(database, ids, every=every, done="resent")
        sent = [message for message in reversed(chosen) if copies is not None and _sent(copies, message)]
        _remove(database, sent)
    _print_result("resent", sent, as_json=as_json)
    lost = [message.id for message in chosen if message not in sent]
    if lost:
        raise Complaint(
            f"the broker has no copy of {', '.join(lost)}: ask the sender to send them again, then drop them "
            "(`orchestrator messages drop`)"
        )


def _chosen(
    database: "Database", ids: Sequence[str] | None, *, every: bool, done: str
) -> Sequence["ParkedMessage"]:
    """Return the named messages, newest first. Each must exist."""
    if ids and every:
        raise Misused("give ids or --all, not both")
    if not ids and not every:
        raise Misused("name the messages by their ids, or give --all")
    with database.reading() as tx:
        if every:
            return tx.parked.listed(_EVERY)
        found = tx.parked.found(ids or [])
    missing = sorted(set(ids or []) - {message.id for message in found})
    if missing:
        raise Complaint(
            f"none was {done}: no message {', '.join(missing)} is parked; `orchestrator messages list` shows all",
            NOT_FOUND,
            "unknown_message",
            missing=missing,
        )
    return list(reversed(found))


def _sent(copies: "ParkedCopies", message: "ParkedMessage") -> bool:
    return message.kept_as is not None and copies.send_again(message.kept_as, message.queue)


def _remove(database: "Database", messages: Sequence["ParkedMessage"]) -> None:
    from orchestrator.flows.operations.parked_messages import remove

    ids = [message.id for message in messages]
    database.transact(lambda tx: remove(tx, ids))


@contextmanager
def _copies() -> Iterator["ParkedCopies | None"]:
    """Return the copies in the broker; None if it is not Redis. Raises Complaint if it does not answer."""
    from redis import RedisError

    from orchestrator.client.sender import refused_writes
    from orchestrator.settings import load_settings
    from orchestrator.tasks.parked_copies import copies_behind

    try:
        yield copies_behind(load_settings())
    except RedisError as error:
        what = refused_writes(error) or f"does not answer ({type(error).__name__})"
        raise Complaint(
            f"the broker {what}: these messages stay in the list; run the command again once it answers"
        ) from None


def _print_result(what: str, messages: Sequence["ParkedMessage"], *, as_json: bool) -> None:
    if as_json:
        print_json({what: [message.id for message in messages]})
    else:
        print_line(f"{len(messages)} {what}")


def _as_json(message: "ParkedMessage") -> dict[str, Any]:
    from orchestrator.client.outcomes import plain

    shown = plain(
        {
            "id": message.id,
            "parked_at": message.parked_at,
            "queue": message.queue,
            "reason": message.reason,
            "task": message.task,
            "task_id": message.task_id,
            "size": message.size,
            "head": message.head,
            "can_be_resent": message.kept_as is not None,
        }
    )
    assert isinstance(shown, dict)
    return shown
