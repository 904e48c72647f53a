"""What the database itself enforces for the archive.

An entry leaves the ledger only if the archive has it, or if retention deleted its session. The database sums entries as
they leave, so that no amount is lost. An opening entry is replaced only while that sum is kept. Each list: (dialect,
statement)."""

from orchestrator.store.tables.counts import one

_FIELDS = ("id", "key", "at", "account_id", "kind", "debit", "credit", "amount", "currency", "note")
_SUMS = (
    "INSERT INTO archived_books (account_id, book, amount, entries, kept_amount, kept_entries)",
    "ON CONFLICT (account_id, book) DO UPDATE SET amount = archived_books.amount + excluded.amount,"
    " entries = archived_books.entries + excluded.entries,"
    " kept_amount = archived_books.kept_amount + excluded.kept_amount,"
    " kept_entries = archived_books.kept_entries + excluded.kept_entries",
)
_REFUSED = "the ledger is append-only: an entry leaves it only into the archive"


def _same(row: str) -> str:
    fields = " AND ".join(f"a.{name} = {row}.{name}" for name in _FIELDS)
    return f"{fields} AND coalesce(a.session_id, '') = coalesce({row}.session_id, '')"


def _is_kept(row: str) -> str:
    return f"EXISTS (SELECT 1 FROM archived_ledger a WHERE {_same(row)})"  # noqa: S608


def _may_leave(row: str) -> str:
    book = f"s.account_id = {row}.account_id AND s.book = {_other_book(row)}"
    return (
        f"({row}.kind = 'opening' AND EXISTS (SELECT 1 FROM archived_books s WHERE {book}))"  # noqa: S608
        f" OR ({row}.kind <> 'opening' AND ({_is_kept(row)} OR EXISTS (SELECT 1 FROM archived_sessions d"
        f" WHERE d.id = {row}.session_id AND d.record IS NULL)))"
    )


def _other_book(row: str) -> str:
    return f"CASE WHEN {_is_credit(row)} THEN {row}.debit ELSE {row}.credit END"


def _is_credit(row: str) -> str:
    return f"{row}.credit = 'account:' || {row}.account_id"


def _signed(row: str) -> str:
    return f"CASE WHEN {_is_credit(row)} THEN {row}.amount ELSE -{row}.amount END"


def _if_kept(row: str, value: str) -> str:
    return f"CASE WHEN EXISTS (SELECT 1 FROM archived_ledger a WHERE a.id = {row}.id) THEN {value} ELSE 0 END"  # noqa: S608


def _add_up() -> str:
    values = f"{_signed('OLD')}, 1, {_if_kept('OLD', _signed('OLD'))}, {_if_kept('OLD', '1')}"
    return f"{_SUMS[0]} VALUES (OLD.account_id, {_other_book('OLD')}, {values}) {_SUMS[1]};"


def _function(name: str, body: str, returns: str) -> tuple[str, str]:
    return (
        "postgresql",
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {body} RETURN {returns}; END $$",
    )


def _sqlite(name: str, when: str, body: str) -> tuple[str, str]:
    return ("sqlite", f"CREATE TRIGGER {name} {when} BEGIN {body} END")


def _raise(message: str) -> str:
    return f"SELECT RAISE(ABORT, '{message}');"


ON_LEDGER = (
    _sqlite(
        "ledger_entries_leave", f"BEFORE DELETE ON ledger WHEN NOT ({_may_leave('OLD')})", _raise(_REFUSED)
    ),
    _sqlite("ledger_entries_have_left", "AFTER DELETE ON ledger WHEN OLD.kind <> 'opening'", _add_up()),
    _function(
        "let_ledger_entries_leave",
        f"IF NOT ({_may_leave('OLD')}) THEN RAISE EXCEPTION '{_REFUSED}'; END IF;",
        "OLD",
    ),
    _function("add_up_what_left_the_ledger", _add_up(), "NULL"),
    (
        "postgresql",
        "CREATE TRIGGER ledger_entries_leave BEFORE DELETE ON ledger"
        " FOR EACH ROW EXECUTE FUNCTION let_ledger_entries_leave()",
    ),
    (
        "postgresql",
        "CREATE TRIGGER ledger_entries_have_left AFTER DELETE ON ledger"
        " FOR EACH ROW WHEN (OLD.kind <> 'opening') EXECUTE FUNCTION add_up_what_left_the_ledger()",
    ),
)
_KEPT_FOR_GOOD = "the archived ledger is append-only"
ON_ARCHIVED_LEDGER = (
    _sqlite("archived_ledger_is_never_changed", "BEFORE UPDATE ON archived_ledger", _raise(_KEPT_FOR_GOOD)),
    _sqlite("archived_ledger_is_never_deleted", "BEFORE DELETE ON archived_ledger", _raise(_KEPT_FOR_GOOD)),
    (
        "postgresql",
        "CREATE TRIGGER archived_ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON archived_ledger"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()",
    ),
)
_COUNTS = "NEW.deleted_at IS NULL AND NEW.state IN ('stopped', 'failed')"
_STOPS_COUNTING = (
    "OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL AND OLD.state IN ('stopped', 'failed')"
)
#: Archived sessions still count against the quota, until they are deleted.
ON_ARCHIVED_SESSIONS = (
    _sqlite("archived_sessions_come", f"AFTER INSERT ON archived_sessions WHEN {_COUNTS}", one("NEW", "")),
    _sqlite(
        "archived_sessions_are_deleted",
        f"AFTER UPDATE OF deleted_at ON archived_sessions WHEN {_STOPS_COUNTING}",
        one("OLD", "-"),
    ),
    _function("count_archived_sessions", one("NEW", ""), "NULL"),
    _function("discount_archived_sessions", one("OLD", "-"), "NULL"),
    (
        "postgresql",
        "CREATE TRIGGER archived_sessions_come AFTER INSERT ON archived_sessions"
        f" FOR EACH ROW WHEN ({_COUNTS}) EXECUTE FUNCTION count_archived_sessions()",
    ),
    (
        "postgresql",
        "CREATE TRIGGER archived_sessions_are_deleted AFTER UPDATE OF deleted_at ON archived_sessions"
        f" FOR EACH ROW WHEN ({_STOPS_COUNTING}) EXECUTE FUNCTION discount_archived_sessions()",
    ),
)
