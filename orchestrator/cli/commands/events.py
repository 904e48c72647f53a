"""`events`: show what happened, from the outbox."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.following import Follower
from orchestrator.cli.shared.known import SUBJECT, is_provider, known, unknown
from orchestrator.cli.shared.options import AsJson, Since
from orchestrator.cli.shared.output import print_json, print_json_line, print_line, say, show
from orchestrator.cli.shared.reading import opened
from orchestrator.cli.shared.spans import instant_of
from orchestrator.cli.shared.usage import Misused
from orchestrator.cli.views.session_tables import event_note
from orchestrator.cli.views.session_tables import events as event_table

if TYPE_CHECKING:
    from orchestrator.store.database import Database
    from orchestrator.store.queries.outbox import WaitingEvent
    from orchestrator.store.transaction import Transaction

#: Events read at once, and seconds between two looks for new ones.
_PAGE, _LOOK = 1000, 0.5
#: Events that are shown unless another number is given.
_SHOWN = 50
_NOT_FOUND = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class _Selection:
    """Which events are shown, from where on."""

    subject: str | None
    place: int | None
    """Behind this place; None: the newest."""
    since: datetime | None

    def first(self, tx: "Transaction", limit: int) -> Sequence["WaitingEvent"]:
        """Return the ones with which it begins, in their order."""
        if self.place is None:
            return tx.outbox.newest(subject=self.subject, limit=limit)
        return tx.outbox.tail(after=self.place, subject=self.subject, since=self.since, limit=limit)


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show new events until Ctrl-C; with --json, one per line.")
    ] = False,
    subject: Annotated[
        str | None, typer.Option(help="Only of this session, account or provider.", **known(SUBJECT))
    ] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="After the event with this id.")] = None,
    since: Since = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, max=100_000, help=f"The most to show: {_SHOWN}; 0 with --follow: only new ones."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the latest events, or those from --after or --since on; oldest first."""
    if follow and limit is not None and (after or since) is not None:
        raise Misused("--follow shows every event from --after or --since on: leave --limit out")
    most = _SHOWN if limit is None else limit
    with opened() as database:
        with database.reading() as tx:
            now = tx.now()
            wanted = _wanted(tx, subject, after, instant_of(since, now))
            found = wanted.first(tx, most)
            place = _beginning(tx, wanted, found, shows_old=most > 0)
        if not found and subject is not None and not _exists(database, subject):
            raise unknown("subject", subject)
        if follow:
            return _follow(database, wanted, place, as_json=as_json)
    if as_json:
        return print_json([_as_json(event) for event in found])
    show(event_table(found, now))
    if found and wanted.place is not None and len(found) == most:
        say(f"there may be more: --after {found[-1].id}")
    return None


def _wanted(tx: "Transaction", subject: str | None, after: str | None, since: datetime | None) -> _Selection:
    places = [] if after is None else [_place_of(tx, after)]
    if since is not None:
        places.append(tx.outbox.place_before(since))
    return _Selection(subject=subject, place=max(places, default=None), since=since)


def _place_of(tx: "Transaction", event_id: str) -> int:
    place = tx.outbox.place_of(event_id)
    if place is None:
        message = f"event {event_id} is unknown or no longer kept: begin with --since"
        raise Complaint(message, _NOT_FOUND)
    return place


def _beginning(
    tx: "Transaction", wanted: _Selection, found: Sequence["WaitingEvent"], *, shows_old: bool
) -> int:
    """Return the place behind which the events are followed."""
    if wanted.place is not None:
        return wanted.place
    if shows_old:
        return found[0].seq - 1 if found else 0
    return max((event.seq for event in tx.outbox.newest(limit=1)), default=0)


def _follow(database: "Database", wanted: _Selection, place: int, *, as_json: bool) -> None:
    """Show what comes behind this place, until Ctrl-C."""
    follower = Follower(place, has_gaps=wanted.subject is None)
    while True:
        with database.reading() as tx:
            now = tx.now()
            # Without `since`: what is left out must not look like a place that is empty.
            found = tx.outbox.tail(after=follower.after, subject=wanted.subject, limit=_PAGE)
        shown = follower.ready(found, now)
        _print_each(
            [one for one in shown if wanted.since is None or one.time >= wanted.since], as_json=as_json
        )
        if len(shown) < _PAGE:
            time.sleep(_LOOK)


def _exists(database: "Database", subject: str) -> bool:
    """Return whether such a subject is known, though none of its events is kept."""
    with database.reading() as tx:
        return any(
            find(subject) for find in (tx.sessions.get, tx.accounts.get, tx.archive.get)
        ) or is_provider(subject)


def _print_each(found: Sequence["WaitingEvent"], *, as_json: bool) -> None:
    for event in found:
        if as_json:
            print_json_line(_as_json(event))
            continue
        kind = event.type.removeprefix("orchestrator.")
        line = f"{event.time:%Y-%m-%d %H:%M:%S} {kind} {event.subject} {event_note(event)}"
        print_line(line.rstrip())


def _as_json(event: "WaitingEvent") -> dict[str, object]:
    from orchestrator.flows.reports.cloud_events import cloud_event

    return cloud_event(event)
