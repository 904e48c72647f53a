"""`events`: show what happened, from the outbox."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.following import Follower
from orchestrator.cli.options import AsJson, Limit
from orchestrator.cli.output import print_json, print_json_line, print_line, show
from orchestrator.cli.reading import opened
from orchestrator.cli.session_tables import event_note
from orchestrator.cli.session_tables import events as event_table

if TYPE_CHECKING:
    from orchestrator.store.database import Database
    from orchestrator.store.queries.outbox import WaitingEvent

#: Events read at once, and seconds between two looks for new ones.
_PAGE, _LOOK = 1000, 0.5


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C; JSON: one a line.")
    ] = False,
    subject: Annotated[str | None, typer.Option(help="Only of this session, account or provider.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show the latest events, oldest first."""
    with opened() as database:
        latest = _latest(database, subject, limit)
        if follow:
            _follow(database, latest, subject, as_json=as_json)
        elif as_json:
            print_json([_as_json(event) for event in latest])
        else:
            with database.reading() as tx:
                now = tx.now()
            show(event_table(latest, now))


def _follow(
    database: "Database", latest: Sequence["WaitingEvent"], subject: str | None, *, as_json: bool
) -> None:
    follower, found = Follower(), latest
    while True:
        with database.reading() as tx:
            follower.saw(found, tx.now())
        _print_each(found, as_json=as_json)
        if len(found) < _PAGE:
            time.sleep(_LOOK)
        # One subject's events are written under one lock: between them, other subjects' are no gaps.
        gaps = follower.gaps if subject is None else ()
        with database.reading() as tx:
            found = tx.outbox.tail(after=follower.after, gaps=gaps, subject=subject, limit=_PAGE)


def _latest(database: "Database", subject: str | None, limit: int) -> Sequence["WaitingEvent"]:
    with database.reading() as tx:
        return tx.outbox.newest(subject=subject, limit=limit)


def _print_each(found: Sequence["WaitingEvent"], *, as_json: bool) -> None:
    for event in found:
        if as_json:
            print_json_line(_as_json(event))
            continue
        kind = event.type.removeprefix("orchestrator.")
        line = f"{event.time:%Y-%m-%d %H:%M:%S} {kind} {event.subject} {event_note(event)}"
        print_line(line.rstrip())


def _as_json(event: "WaitingEvent") -> dict[str, object]:
    from orchestrator.flows.operations.deliver_events import cloud_event

    return cloud_event(event)
