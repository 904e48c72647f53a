"""Check the invariants of the store: what has changed since the last run, the next rows in turn, open violations, and,
by indexes, everything that is late. It changes only its own rows.

So the cost of a run follows what happens, not what is stored; `audit_everything` checks every row, in bounded pages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta

from orchestrator.flows.audit.auditor import CHUNK, Auditor
from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.leases import held
from orchestrator.flows.engine.services import Services
from orchestrator.rules.audit.check_costs import CostDay, cost_day
from orchestrator.rules.audit.invariants import Invariant, Violation, turned
from orchestrator.store.queries.audit import Changed
from orchestrator.store.queries.audit_findings import RAN
from orchestrator.store.transaction import Transaction

#: One worker audits, in less than this. Seconds.
LEASE, LEASE_SECONDS = "audit", 300.0
#: Rows of each feed in one page, and pages in one run: the rest waits for the next run.
PAGE, PAGES = 2000, 20
#: Rows checked in turn in each run, changed or not.
SESSIONS_IN_TURN, ACCOUNTS_IN_TURN, ARCHIVED_IN_TURN = 500, 100, 100
#: Days of accounts with costs that are checked in each run: in turn, of those that ended since, and with an entry that
#: was not counted.
COST_DAYS, UNCOUNTED = 100, 100
#: Entries of the days that are checked in turn, together. A day with more is checked once it is over, and by full
#: audits.
COST_ENTRIES = 5_000
#: Open violations that are checked again in each run.
STANDING = 1000
#: Once an event or entry is this old, no older one can appear any more: no transaction lasts this long.
SETTLED_AFTER = timedelta(seconds=60)
#: The feeds, and the turns.
EVENTS, ENTRIES, SESSIONS, ACCOUNTS, ARCHIVED = "events", "entries", "sessions", "accounts", "archived"
COSTS, CLOSED_COSTS = "costs", "closed_costs"


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditReport:
    """The result of one run."""

    found: Sequence[Violation]
    sessions: int
    accounts: int
    behind: bool = False
    """Whether changed rows are left for the next run."""


def audit_store(services: Services) -> Tally:
    """Run once, and save the result: a violation stays open until it is gone; its opening and its end are events."""
    with held(services, LEASE, LEASE_SECONDS) as mine:
        if not mine:
            return Tally()
        run = _AuditRun(services)
        run.check()

        def keep(tx: Transaction) -> None:
            run.keep(tx)

        services.database.transact(keep)
    return Tally(claimed=run.auditor.sessions + run.auditor.accounts, failed=len(run.auditor.found))


def audit_now(services: Services) -> AuditReport:
    """Run once, without saving the result."""
    run = _AuditRun(services)
    run.check()
    return _report(run.auditor, behind=run.behind)


def audit_everything(
    services: Services, progress: Callable[[AuditReport], None] = lambda _: None
) -> AuditReport:
    """Audit every row, a page at a time. Compute every sum again, and use no earlier result."""
    auditor = Auditor(services, recompute=True)
    auditor.check_lateness()
    for ids in _pages(services, lambda tx, after: tx.audit.sessions_after(after, CHUNK)):
        auditor.check_sessions(ids)
        progress(_report(auditor))
    for ids in _pages(services, lambda tx, after: tx.audit.accounts_after(after, CHUNK)):
        auditor.check((), ids)
        _check_all_costs(services, auditor, ids)
        progress(_report(auditor))
    for ids in _pages(services, lambda tx, after: tx.archive.after(after, CHUNK)):
        auditor.check_archived(ids)
        progress(_report(auditor))
    return _report(auditor)


class _AuditRun:
    """One incremental run: where it begins, what it checks, where the next one begins."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.auditor = Auditor(services, recompute=False)
        self.behind = False
        self._standing: Sequence[Violation] = ()
        self._before: Mapping[str, int] = {}
        self._cursors: dict[str, str] = {}

    def check(self) -> None:
        """Check what is late, what is violated already, the next rows in turn, and what has changed."""
        with self._services.database.reading() as tx:
            self._cursors = dict(tx.findings.cursors())
            self._standing = [standing.finding for standing in tx.findings.standing(STANDING)]
            self._before = tx.findings.counts()
        self.auditor.check_lateness()
        subjects = {finding.subject for finding in self._standing}
        sessions, accounts, archived = self._in_turn()
        self.auditor.check({*subjects, *sessions}, {*subjects, *accounts})
        self.auditor.check_archived({*subjects, *archived})
        self.auditor.check_costs(self._standing_costs(), around=True)
        self.auditor.check_costs({*self._costs_in_turn(), *self._closed_costs()})
        self._check_changes()

    def keep(self, tx: Transaction) -> None:
        """Save the violations found, and end those that were open and were not found again."""
        now, found = tx.now(), self.auditor.found
        keys = {finding.key for finding in found}
        gone = [finding for finding in self._standing if finding.key not in keys]
        tx.findings.replace(gone, found, now)
        tx.findings.move(self._cursors | {RAN: ""}, now)
        tx.findings.remember_ledgers(self.auditor.ledgers)
        tx.outbox.add(turned(self._before, tx.findings.counts(), found))

    def _in_turn(self) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        """Return the next rows after the last ones; begin again after the end."""
        with self._services.database.reading() as tx:
            sessions = tx.audit.sessions_after(self._cursors.get(SESSIONS, ""), SESSIONS_IN_TURN)
            accounts = tx.audit.accounts_after(self._cursors.get(ACCOUNTS, ""), ACCOUNTS_IN_TURN)
            archived = tx.archive.after(self._cursors.get(ARCHIVED, ""), ARCHIVED_IN_TURN)
        self._cursors[SESSIONS] = sessions[-1] if len(sessions) == SESSIONS_IN_TURN else ""
        self._cursors[ACCOUNTS] = accounts[-1] if len(accounts) == ACCOUNTS_IN_TURN else ""
        self._cursors[ARCHIVED] = archived[-1] if len(archived) == ARCHIVED_IN_TURN else ""
        return sessions, accounts, archived

    def _standing_costs(self) -> Sequence[CostDay]:
        mine = [finding.subject for finding in self._standing if finding.check is Invariant.DAILY_COSTS]
        return [day for subject in mine if (day := cost_day(subject)) is not None]

    def _costs_in_turn(self) -> Sequence[CostDay]:
        """Return the next days, account by account; begin again after the end."""
        first = CostDay("", date.min)
        place = cost_day(self._cursors.get(COSTS, "")) or first
        with self._services.database.reading() as tx:
            days = tx.cost_audit.days_after(place, COST_DAYS, COST_ENTRIES)
            days = days or tx.cost_audit.days_after(first, COST_DAYS, COST_ENTRIES)
        self._cursors[COSTS] = days[-1].subject if days else ""
        return days

    def _closed_costs(self) -> Sequence[CostDay]:
        """Return the next days that are over, beginning with yesterday: those before it are checked in turn."""
        with self._services.database.reading() as tx:
            today = tx.now().astimezone(UTC).date()
            first = CostDay("", today - timedelta(days=1))
            place = cost_day(self._cursors.get(CLOSED_COSTS, "")) or first
            days = tx.cost_audit.closed_days_after(place, today, COST_DAYS, COST_ENTRIES)
        self._cursors[CLOSED_COSTS] = (days[-1] if days else place).subject
        return days

    def _check_changes(self) -> None:
        event, entry = (int(self._cursors.get(feed, 0)) for feed in (EVENTS, ENTRIES))
        for _ in range(PAGES):
            with self._services.database.reading() as tx:
                settled = tx.now() - SETTLED_AFTER
                announced = tx.audit.announced_since(event, settled, PAGE)
                posted = tx.audit.posted_since(entry, settled, PAGE)
                uncounted = tx.cost_audit.uncounted(entry, posted.last, UNCOUNTED)
            self.auditor.check({*announced.sessions, *posted.sessions}, posted.accounts)
            self.auditor.check_costs(uncounted, around=True)
            self._note(EVENTS, announced)
            self._note(ENTRIES, posted)
            event, entry = announced.last, posted.last
            self.behind = announced.full or posted.full
            if not self.behind:
                return

    def _note(self, feed: str, page: Changed) -> None:
        """Set where the next run begins: at an instant before which no more entries can appear."""
        if page.settled > int(self._cursors.get(feed, 0)):
            self._cursors[feed] = str(page.settled)


def _check_all_costs(services: Services, auditor: Auditor, account_ids: Sequence[str]) -> None:
    """Compare every day of these accounts."""
    with services.database.reading() as tx:
        days, uncounted = tx.cost_audit.days_of(account_ids), tx.cost_audit.uncounted_of(account_ids, PAGE)
    auditor.check_costs(uncounted, around=True)
    auditor.check_costs(days)


def _pages(
    services: Services, following: Callable[[Transaction, str], Sequence[str]]
) -> Iterator[Sequence[str]]:
    last = ""
    while True:
        with services.database.reading() as tx:
            ids = following(tx, last)
        if not ids:
            return
        yield ids
        last = ids[-1]


def _report(auditor: Auditor, *, behind: bool = False) -> AuditReport:
    return AuditReport(
        found=auditor.found, sessions=auditor.sessions, accounts=auditor.accounts, behind=behind
    )
