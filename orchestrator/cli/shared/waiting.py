"""`--wait-running`: follow a session until it can be used."""

import time
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.failures import TIMED_OUT, Complaint
from orchestrator.cli.shared.output import progress
from orchestrator.cli.shared.reading import found_session, opened
from orchestrator.rules.states import State

if TYPE_CHECKING:
    from orchestrator.store.database import Database

#: Seconds between two looks.
_LOOK = 0.25
_ON_THE_WAY = frozenset({State.QUEUED, State.STARTING})


def until_running(session: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the session once it runs. Raises Complaint if it will not run, or not in time."""
    give_up_at = time.monotonic() + seconds
    with opened() as database, progress(f"waiting until {session['id']} runs …"):
        while session["state"] in _ON_THE_WAY:
            if time.monotonic() > give_up_at:
                raise Complaint(
                    f"session {session['id']} is still {session['state']} after {seconds:g} s: it continues; "
                    f"check again with `orchestrator session show {session['id']}`",
                    TIMED_OUT,
                    session_id=session["id"],
                )
            time.sleep(_LOOK)
            session = _look(database, session["id"])
    if session["state"] != State.RUNNING:
        raise Complaint(f"session {session['id']} is {session['state']}, not running: {_why(session)}")
    return session


def _look(database: "Database", session_id: str) -> dict[str, Any]:
    from orchestrator.flows.reports import views

    with database.reading() as tx:
        return views.of_session(tx, found_session(tx, session_id), tx.now())


def _why(session: dict[str, Any]) -> str:
    return str(session["stop_detail"] or session["stop_reason"] or "it was not started")
