"""Checks of the clocks."""

from typing import TYPE_CHECKING

from orchestrator.cli.failures import Complaint
from orchestrator.cli.reading import clock_of, opened
from orchestrator.cli.times import span

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def agrees(_settings: "Settings") -> str:
    """Check that the store's clock agrees with the time that processes measure."""
    from orchestrator.rules.installation.clock import correction_is_late, in_words

    with opened() as database, database.reading() as tx:
        known, now = clock_of(database, tx), tx.now()
    if known is None:
        return "not compared yet: no worker has run"
    if known.jumped_at is not None:
        raise Complaint(in_words(known))
    if correction_is_late(known, now):
        raise Complaint(
            f"the clock was corrected at {known.corrected_at:%Y-%m-%d %H:%M:%S}Z, and not every row that lies in the"
            " future has been brought back: start a worker of the kind control; where one runs,"
            " `orchestrator audit --full` names the rows that it cannot read, and its log says why"
        )
    return (
        f"agrees with the time measured, last compared {span(max(0.0, (now - known.at).total_seconds()))} ago"
    )
