"""`orchestrator clock`: compare the store's clock with the time that processes measure."""

from typing import TYPE_CHECKING, Any

import typer

from orchestrator.cli.commands.providers import services_here
from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.options import AsJson
from orchestrator.cli.shared.output import print_json, progress, show
from orchestrator.cli.shared.reading import clock_of, opened
from orchestrator.cli.shared.tables import pairs

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.rules.installation.clock import KnownTime

app = typer.Typer()


@app.command("show")
def show_clock(as_json: AsJson = False) -> None:
    """Show the trusted time, and any open jump of the store's clock."""
    with opened() as database, database.reading() as tx:
        known, now = clock_of(database, tx), tx.now()
    _print(known, now, as_json=as_json)


@app.command()
def accept(as_json: AsJson = False) -> None:
    """Accept the store's clock after a jump: its time is right, and has really passed. Charges, stops and pings
    follow it from now on; rows that lie in the future are brought back, and what was charged for time that did not
    pass is reversed."""
    from orchestrator.flows.operations.accept_clock import accept_clock
    from orchestrator.flows.operations.watch_clock import correct_rows

    with services_here() as services:
        known = accept_clock(services.database)
        if known is None:
            raise Complaint("there is nothing to accept: the store's clock agrees with the measured time")
        with progress("correcting rows with times in the future"):
            correct_rows(services, known, known.at)
    _print(known, known.at, as_json=as_json)


def as_json_of(known: "KnownTime | None", now: "datetime") -> dict[str, Any]:
    """Return the state of the clock, for programs."""
    from orchestrator.rules.events import rfc3339

    return {
        "now": rfc3339(now),
        "jumped": known is not None and known.jumped_at is not None,
        "since": rfc3339(known.jumped_at) if known else None,
        "ahead_seconds": (-known.correction).total_seconds() if known else 0.0,
        "seen_by": (known.seen_by or None) if known else None,
        "accepted": known.accepted if known else 0,
        "corrected_at": rfc3339(known.corrected_at) if known else None,
        "correct_at": rfc3339(known.correct_at) if known else None,
    }


def _print(known: "KnownTime | None", now: "datetime", *, as_json: bool) -> None:
    print_json(as_json_of(known, now)) if as_json else show(pairs(_rows(known, now)))


def _rows(known: "KnownTime | None", now: "datetime") -> list[tuple[str, str]]:
    """Return the state of the clock, for people."""
    rows = [("trusted time", f"{now:%Y-%m-%d %H:%M:%SZ}")]
    if known is None:
        return [*rows, ("store's clock", "not compared yet: no worker has run")]
    if known.jumped_at is None:
        rows += [("store's clock", "agrees with the measured time")]
    else:
        ahead = (-known.correction).total_seconds()
        rows += [
            (
                "store's clock",
                f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the measured time",
            ),
            ("since", f"{known.jumped_at:%Y-%m-%d %H:%M:%SZ}"),
            ("seen by", known.seen_by),
        ]
    if known.corrected_at is not None:
        rows += [("last jump ended", f"{known.corrected_at:%Y-%m-%d %H:%M:%SZ}")]
    if known.correct_at is not None:
        rows += [("rows", "a worker is still correcting those with times in the future")]
    return [*rows, ("times accepted", str(known.accepted))]
