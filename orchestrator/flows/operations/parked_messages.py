"""Set messages aside that cannot be carried out, and let an operator delete them."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from orchestrator.flows.upstream.alarms import close_alarm, open_alarm
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.installation.messages import ParkedMessage
from orchestrator.store.transaction import Transaction

#: Messages kept; the oldest beyond them are dropped.
MOST_KEPT = 1_000
_KIND = InstallationAlarmKind.MESSAGES_PARKED


def park(tx: Transaction, messages: Sequence[ParkedMessage]) -> int:
    """Save these and open an alarm for each of their queues; return how many older ones were deleted for them."""
    before, now = set(tx.parked.counts()), tx.now()
    tx.parked.add([replace(message, parked_at=now) for message in messages])
    dropped = tx.parked.keep_newest(MOST_KEPT)
    for queue, count in sorted(Counter(message.queue for message in messages).items()):
        newest = next(message for message in reversed(messages) if message.queue == queue)
        reason = (
            f"{count} message{'s' * (count > 1)} of {queue} cannot be carried out ({newest.reason}): "
            "`orchestrator messages list` shows them, `orchestrator messages drop` or `resend` removes them"
        )
        open_alarm(tx, _KIND, queue, reason, now)
    _close_alarms(tx, before)
    return dropped


def remove(tx: Transaction, ids: Collection[str]) -> None:
    """Delete these; close the alarm of each queue that has none left."""
    before = set(tx.parked.counts())
    tx.parked.drop(ids)
    _close_alarms(tx, before)


def _close_alarms(tx: Transaction, before: Collection[str]) -> None:
    """Close those of the queues that had a parked message and have none left."""
    for queue in sorted(set(before) - set(tx.parked.counts())):
        close_alarm(tx, _KIND, queue, "no parked message is left")
