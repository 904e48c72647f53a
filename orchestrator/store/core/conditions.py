"""Conditions that indexes and triggers have in common with queries: PostgreSQL and SQLite find a partial index by the
wording of its condition."""

#: The condition that a session starts or runs, worded as in the indexes by account.
IS_ACTIVE = "state IN ('starting', 'running') AND deleted_at IS NULL"
#: Impossible sessions: this index is empty while all is well, so the audit finds any at once.
IMPOSSIBLE_SESSION = (
    "(next_step IS NULL AND state IN ('queued', 'starting', 'running'))"
    " OR (deleted_at IS NOT NULL AND state IN ('queued', 'starting', 'running', 'stopping'))"
)
#: Running sessions in doubt (`rules/values/doubts.py`), worded as in their index.
IN_DOUBT_AND_RUNS = "state = 'running' AND (failures > 0 OR gone_since IS NOT NULL)"
#: States in which a session waits for nothing. Ended sessions are among them, and are never counted one by one.
AT_REST = ("created", "stopped", "failed")

#: Placements that are over.
PLACEMENT_ENDED = "state IN ('closed', 'never_opened')"
#: Placements that hold an exclusive key.
ONE_UNCLOSED = f"exclusive AND session_id IS NOT NULL AND NOT {PLACEMENT_ENDED}"
#: Opens with a result that is not fully known: no handle was learned, or more sessions may have been left.
UNTOLD = "possible_orphans OR (handle IS NULL AND refused_by IS NULL)"
#: Impossible placements: this index is empty while all is well, so the audit finds any at once.
IMPOSSIBLE_PLACEMENT = (
    "(next_step IS NULL AND state IN ('opening', 'unknown', 'closing'))"
    " OR (state = 'closed' AND proof IS NULL)"
    " OR (forced_at IS NOT NULL AND (forced_by IS NULL OR forced_why IS NULL))"
)

#: Amounts that the platform has lost: this index is nearly empty.
WRITTEN_OFF = "kind = 'write_off'"
#: Entries with the sum of archived ones: one for each account and book.
IS_OPENING = "kind = 'opening'"
#: Entries that say what a session has cost: what was charged, given back, and not paid.
OF_SESSIONS = "('charge', 'reversal', 'write_off')"
