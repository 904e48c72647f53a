"""`session list`: those that live first, page by page, sorted, or again and again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.shared.failures import NOT_FOUND, Complaint
from orchestrator.cli.shared.known import ACCOUNT, MODEL, PROVIDER, known
from orchestrator.cli.shared.options import NO_LIMIT, All, AsJson, Limit, Since
from orchestrator.cli.shared.output import print_json, say, show
from orchestrator.cli.shared.reading import reading
from orchestrator.cli.shared.spans import instant_of
from orchestrator.cli.shared.tables import coloured
from orchestrator.cli.shared.usage import Misused
from orchestrator.cli.shared.watching import Watch, watched
from orchestrator.cli.views import leftover_tables
from orchestrator.cli.views import session_tables as tables
from orchestrator.cli.views.orders import KEYS, SortOrder
from orchestrator.rules.states import LIVE, TERMINAL, State

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.rules.values import Session
    from orchestrator.store.queries.pages import Behind, SessionFilter
    from orchestrator.store.transaction import Transaction

Json = dict[str, Any]
#: Sessions that are read to be sorted; of more, those are sorted that come first in the usual order.
_SORTED = 10_000
#: What comes before an id where the page before ended among those that live.
_LIVE_MARK = "live:"


class ListedState(StrEnum):
    """The states that a list may be limited to: `live` is all of those that are not over."""

    LIVE = "live"
    CREATED = "created"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Page:
    """Sessions in their order, and where the next page begins; None: this is the last."""

    sessions: Sequence["Session"]
    after: str | None


def list_sessions(
    account: Annotated[
        str | None, typer.Option(help="Only of this account.", **known(ACCOUNT, must=True))
    ] = None,
    state: Annotated[
        list[ListedState] | None, typer.Option(help="Only in this state, or live; may be repeated.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="Only at this provider.", **known(PROVIDER, must=True))
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.", **known(MODEL, must=True))] = None,
    since: Since = None,
    sort: Annotated[
        SortOrder | None, typer.Option(help="By default live ones first, then the newest.")
    ] = None,
    unproven: Annotated[
        bool,
        typer.Option("--unproven", help="Show closes without proof, orphans included, then forced ones."),
    ] = False,
    forced: Annotated[bool, typer.Option("--forced", help="Closes that were forced, without proof.")] = False,
    archived: Annotated[
        bool, typer.Option("--archived", help="Show the archived sessions of one account.")
    ] = False,
    limit: Limit = 100,
    everything: All = False,
    after: Annotated[
        str | None,
        typer.Option(
            metavar="CURSOR", help="Where the next page begins: a list that has more pages prints it."
        ),
    ] = None,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """List sessions that are not deleted: live ones first, the newest first of each."""
    from orchestrator.store.queries.pages import SessionFilter

    most = NO_LIMIT if everything else limit
    states = _states(state or ())
    if archived:
        return _list_archived(account, most, as_json=as_json)
    if unproven or forced:
        return _list_leftovers(account, states, most, only_forced=not unproven, as_json=as_json)
    _check_together(watch=watch, as_json=as_json, sort=sort, after=after)

    def look() -> tuple[list[Json], datetime, str | None]:
        with reading() as tx:
            now = tx.now()
            wanted = SessionFilter(
                states=states,
                account_id=account,
                provider=provider,
                model_id=model,
                since=instant_of(since, now),
            )
            return _looked(tx, wanted, most, sort, after, now)

    if watch:
        return watched(lambda: _with_note(*look()))
    sessions, now, note = look()
    print_json(sessions) if as_json else show(tables.listed(sessions, now))
    return say(note) if note else None


def _check_together(*, watch: bool, as_json: bool, sort: SortOrder | None, after: str | None) -> None:
    """Raise Misused where two options exclude each other."""
    if watch and as_json:
        raise Misused("--watch shows a table again and again, --json prints once: give one")
    if sort is not None and after is not None:
        raise Misused("--after continues the default order: leave out --sort")


def page_of(tx: "Transaction", wanted: "SessionFilter", limit: int, after: str | None) -> Page:
    """Return sessions in the usual order: those that live, then the others, the newest first of each."""
    from dataclasses import replace

    found: list[Session] = []
    phases = [(_LIVE_MARK, LIVE), ("", frozenset(State) - LIVE)]
    for mark, states in phases if after is None or after.startswith(_LIVE_MARK) else phases[1:]:
        chosen = [one for one in states if not wanted.states or one in wanted.states]
        behind = _behind(tx, after) if after is not None and after.startswith(mark) else None
        after = None if mark else after
        while chosen and len(found) <= limit:
            page = tx.pages.sessions(replace(wanted, states=chosen), limit + 1 - len(found), behind)
            found += page.sessions
            behind = page.behind
            if behind is None:
                break
    if len(found) <= limit:
        return Page(found, None)
    last = found[limit - 1]
    return Page(found[:limit], f"{_LIVE_MARK if last.state in LIVE else ''}{last.id}")


def _looked(
    tx: "Transaction",
    wanted: "SessionFilter",
    limit: int,
    sort: SortOrder | None,
    after: str | None,
    now: datetime,
) -> tuple[list[Json], datetime, str | None]:
    """Return the sessions to show, and a note where others are not shown."""
    from orchestrator.flows.reports import views

    page = page_of(tx, wanted, limit if sort is None else max(limit, _SORTED), after)
    found = views.of_sessions(tx, page.sessions, now)
    shown = found if sort is None else sorted(found, key=KEYS[sort])[:limit]
    if page.after is None and len(shown) == len(found):
        return shown, now, None
    total = tx.pages.count_sessions(wanted)
    how = f"`--after {page.after}` shows the next, `--all` all" if sort is None else "`--all` shows all"
    return shown, now, f"{len(shown)} of {total} sessions: {how}"


def _behind(tx: "Transaction", after: str) -> "Behind":
    """Return the row behind which the page begins. Raises Complaint if there is none."""
    from orchestrator.store.queries.pages import Behind

    session_id = after.removeprefix(_LIVE_MARK)
    session = tx.sessions.get(session_id)
    if session is None:
        message = f"--after {after}: no session has this id any more. Begin again without --after"
        raise Complaint(message, NOT_FOUND, "unknown_cursor", after=after)
    return Behind(session.created_at, session.id)


def _states(shown: Sequence[ListedState]) -> Sequence[State]:
    live = [state for state in State if state in LIVE and state not in TERMINAL]
    return [one for word in shown for one in (live if word is ListedState.LIVE else [State(word.value)])]


def _with_note(sessions: list[Json], now: datetime, note: str | None) -> Sequence["RenderableType"]:
    return [tables.listed(sessions, now), *([coloured(note, "dim")] if note else [])]


def _list_archived(account: str | None, limit: int, *, as_json: bool) -> None:
    from orchestrator.flows.lifecycle.archived import view

    if account is None:
        raise Misused("--archived lists the sessions of one account: name it with --account")
    with reading() as tx:
        now = tx.now()
        sessions = [view(one, now) for one in tx.archive.listed(account, limit)]
    return print_json(sessions) if as_json else show(tables.listed(sessions, now))


def _list_leftovers(
    account: str | None, states: Sequence[State], limit: int, *, only_forced: bool, as_json: bool
) -> None:
    from orchestrator.flows.reports import leftovers

    with reading() as tx:
        now = tx.now()
        found = leftovers.listed(
            tx, now, account_id=account, states=states, only_forced=only_forced, limit=limit + 1
        )
    print_json(found[:limit]) if as_json else show(*leftover_tables.listed(found[:limit], now))
    if len(found) > limit:
        say("there are more: --limit shows more at once, --all shows all")
