"""Check given rows, each page read at one moment, and collect the violations."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.flows.engine.services import Services, close_lease, open_lease, ping_lease
from orchestrator.flows.lifecycle.spending import hard_stop_limits
from orchestrator.rules.audit.check_archive import ArchivedFacts, judge_archived
from orchestrator.rules.audit.check_costs import CostDay, judge_costs
from orchestrator.rules.audit.check_rows import judge_account, judge_placement, judge_session
from orchestrator.rules.audit.invariants import (
    AccountFacts,
    ArchivedMoney,
    AuditContext,
    Invariant,
    Violation,
)
from orchestrator.rules.audit.quota_audit import exceeds_quota
from orchestrator.rules.audit.wait_limits import WaitLimits, longest_unwell, wait_limits
from orchestrator.rules.states import Step
from orchestrator.rules.values import Session
from orchestrator.store.queries.archive_records import digest_of
from orchestrator.store.queries.audit import Posted
from orchestrator.store.queries.ledger import Line, book_of
from orchestrator.store.transaction import Transaction
from orchestrator.store.unreadable import is_about_a_row, unreadable

#: For an account with more sessions at once, only a full audit checks funds and nodes.
MOST_ACTIVE = 5000
#: For an account with more sessions at rest, only a full audit counts them one by one.
MOST_AT_REST = 2000
#: No lease lasts longer than the longest one by more than this.
LEASE_SLACK = timedelta(minutes=1)
#: A loss that was written off is reported for this long.
WRITTEN_OFF_FOR = timedelta(days=1)
#: Rows asked for in one statement.
CHUNK = 500
#: Checks the rows with these ids; returns the ids of other rows that must be checked as well.
CheckRows = Callable[[Transaction, Sequence[str]], Collection[str]]


class _CheckedRows:
    """How many rows were checked. An incremental run may check one `again`, and counts it once; a full audit comes
    to each once, and keeps no ids."""

    def __init__(self, *, again: bool) -> None:
        self._ids: set[str] | None = set() if again else None
        self.number = 0

    def add(self, ids: Iterable[str]) -> None:
        if self._ids is None:
            self.number += sum(1 for _ in ids)
        else:
            self._ids.update(ids)
            self.number = len(self._ids)


class Auditor:
    """One run. `recompute`: compute the saved sums again."""

    def __init__(self, services: Services, *, recompute: bool) -> None:
        self._services = services
        self._recompute = recompute
        self._found: dict[tuple[Invariant, str], Violation] = {}
        self.ledgers: dict[str, Posted] = {}
        """The sums of the ledgers of the accounts that were checked."""
        self._sessions, self._accounts = _CheckedRows(again=not recompute), _CheckedRows(again=not recompute)

    @property
    def sessions(self) -> int:
        """The number of sessions that were checked."""
        return self._sessions.number

    @property
    def accounts(self) -> int:
        """The number of accounts that were checked."""
        return self._accounts.number

    @property
    def found(self) -> list[Violation]:
        """The violations, by check: at most one of each check for each subject."""
        return sorted(self._found.values(), key=lambda finding: finding.key)

    def check_lateness(self) -> None:
        """Check everything that is late, by indexes that are nearly empty while all is well."""
        with self._services.database.reading(at_one_moment=True) as tx:
            now = self._now(tx)
            thresholds, live, ahead = now.thresholds, tx.live_audit, self._furthest(now)
            self._add(live.overdue(now.at - timedelta(seconds=thresholds.overdue_after_seconds)))
            self._add(live.overlong_leases(now.at + now.longest_lease))
            self._add(live.shared_keys())
            self._add(live.undelivered(now.at - timedelta(seconds=thresholds.outbox_after_seconds)))
            self._add(live.written_off(now.at - WRITTEN_OFF_FOR))
            self._add(live.silent_scheduler(now.at - timedelta(seconds=thresholds.scheduler_after_seconds)))
            sessions = {*live.impossible_sessions(), *live.sessions_put_off(ahead)}
            sessions |= {*live.not_well(now.at - self._shortest_unwell())}
            placements = {*live.impossible_placements(), *live.placements_put_off(ahead)}
        self._check_rows(
            sorted(id_ for id_, session_id in placements if session_id is None), self._check_orphans
        )
        self.check(sessions | {session_id for _, session_id in placements if session_id is not None}, ())

    def check(self, sessions: Collection[str], accounts: Collection[str]) -> None:
        """Check these sessions with all their rows, then their accounts and the given ones."""
        owners = {*accounts, *self.check_sessions(sessions)}
        for ids in _chunks(owners):
            self._check_rows(ids, self._check_accounts)

    def check_sessions(self, sessions: Collection[str]) -> set[str]:
        """Check these sessions, and return the ids of their accounts, which are still to be checked."""
        return {owner for ids in _chunks(sessions) for owner in self._check_rows(ids, self._check_sessions)}

    def check_archived(self, sessions: Collection[str]) -> None:
        """Check these sessions against the archive; ids that are not archived are skipped."""
        for ids in _chunks(sessions):
            self._check_rows(ids, self._check_archived)

    def check_costs(self, days: Collection[CostDay], *, around: bool = False) -> None:
        """Compare the costs of these days with the ledger, each read at one moment. `around`: an entry may be in no
        cost."""
        for day in sorted(days):
            with self._services.database.reading(at_one_moment=True) as tx:
                facts = tx.cost_audit.facts(day, around=around)
            if facts is not None:
                self._add(judge_costs(facts))

    def _check_rows(self, ids: Sequence[str], check: CheckRows) -> Collection[str]:
        """Check a page, read at one moment. If a row of it cannot be read, check each half by itself, down to that
        row."""
        try:
            with self._services.database.reading(at_one_moment=True) as tx:
                return check(tx, ids)
        except Exception as error:
            if not is_about_a_row(error):
                raise
            failure = type(error).__name__
        if len(ids) == 1:
            self._add([self._unreadable(ids[0], failure)])
            return ()
        half = len(ids) // 2
        return [*self._check_rows(ids[:half], check), *self._check_rows(ids[half:], check)]

    def _unreadable(self, subject: str, failure: str) -> Violation:
        with self._services.database.reading() as tx:
            columns = sorted(set(unreadable(tx.connection, subject)))
        return Violation(Invariant.ROWS, subject, f"it cannot be read: {', '.join(columns) or failure}")

    def _check_orphans(self, tx: Transaction, ids: Sequence[str]) -> Collection[str]:
        now = self._now(tx)
        for placement in tx.audit.placements(ids):
            self._add(judge_placement(placement, now))
        return ()

    def _check_sessions(self, tx: Transaction, ids: Sequence[str]) -> Collection[str]:
        now, facts = self._now(tx), tx.audit.sessions(ids)
        for one in facts:
            self._add(judge_session(one, now))
        self._sessions.add(one.session.id for one in facts)
        return {one.session.account_id for one in facts}

    def _check_archived(self, tx: Transaction, ids: Sequence[str]) -> Collection[str]:
        found, entries = tx.archive.of(ids), tx.archive.entries(ids)
        for session_id, tombstone in found.items():
            record = tombstone.record
            digest = None if record is None else digest_of(record, entries[session_id])
            self._add(judge_archived(ArchivedFacts(tombstone=tombstone, digest=digest)))
        self._sessions.add(found)
        return ()

    def _check_accounts(self, tx: Transaction, ids: Sequence[str]) -> Collection[str]:
        now, ledgers = self._now(tx), dict(tx.audit.ledgers(ids, recompute=self._recompute))
        accounts, active = tx.audit.accounts(ids), self._active(tx, ids)
        at_rest = tx.audit.at_rest(ids, None if self._recompute else MOST_AT_REST)
        archived, groups = archived_money(tx, ids, whole=self._recompute), tx.groups.of_all(ids)
        differ = [one.id for one in accounts if ledgers[one.id].balance != one.balance]
        if differ:  # a kept sum alone is no proof
            ledgers |= tx.audit.ledgers(differ, recompute=True)
        for account in accounts:
            facts = AccountFacts(
                account=account,
                posted=ledgers[account.id].balance,
                plan=self._services.config.terms_of(account).plan,
                active=active.get(account.id),
                at_rest=at_rest.get(account.id),
                groups=groups[account.id],
                hard_stops=hard_stop_limits(tx, account, now.at),
                archived=archived[account.id],
            )
            self._add(judge_account(self._with_usage(tx, facts, now), now))
        self._accounts.add(account.id for account in accounts)
        self.ledgers |= ledgers
        return ()

    def _active(self, tx: Transaction, ids: Collection[str]) -> Mapping[str, Sequence[Session]]:
        """Return the active sessions of all accounts, or of one by one. Leave out an account with too many, or with an
        unreadable one."""
        together = self._active_of(tx, ids)
        if together is not None:
            return together
        return {
            one: sessions for each in ids for one, sessions in (self._active_of(tx, [each]) or {}).items()
        }

    def _active_of(self, tx: Transaction, ids: Collection[str]) -> Mapping[str, Sequence[Session]] | None:
        try:
            return tx.audit.active(ids, None if self._recompute else MOST_ACTIVE)
        except Exception as error:  # that session is reported by its own check
            if not is_about_a_row(error):
                raise
            return None

    def _with_usage(self, tx: Transaction, facts: AccountFacts, now: AuditContext) -> AccountFacts:
        plan = facts.plan
        if plan.max_sessions is None and plan.max_concurrent is None and plan.max_nodes_total is None:
            return facts
        usage = tx.sessions.usage(facts.account.id, now.at, self._services.config.cleanup_debts())
        held = replace(facts, total=usage.total, concurrent=usage.concurrent, nodes=usage.nodes)
        if not exceeds_quota(held):
            return held
        return replace(held, admissions=tx.audit.admissions(facts.account.id))

    def _now(self, tx: Transaction) -> AuditContext:
        config = self._services.config
        policies = [config.policy, *(provider.policy for provider in config.providers.values())]
        leases = (lease(policy) for policy in policies for lease in (ping_lease, open_lease, close_lease))
        return AuditContext(
            at=tx.now(),
            thresholds=config.audit,
            longest_lease=timedelta(seconds=max(leases)) + LEASE_SLACK,
            wait_limits=self._wait_limits,
            events_since=tx.findings.events_since(),
        )

    def _furthest(self, now: AuditContext) -> Mapping[Step, datetime]:
        """Return how far ahead each step may be planned: the furthest instant at any provider."""
        of_all = [self._wait_limits(provider).waits for provider in (None, *self._services.config.providers)]
        return {step: now.at + max(waits[step] for waits in of_all) for step in of_all[0]}

    def _shortest_unwell(self) -> timedelta:
        """Return the span within which a proof of life is recent enough at every provider."""
        providers = (None, *self._services.config.providers)
        return min(longest_unwell(self._services.policy(provider)) for provider in providers)

    def _wait_limits(self, provider: str | None) -> WaitLimits:
        return wait_limits_at(self._services, provider)

    def _add(self, findings: Iterable[Violation]) -> None:
        for finding in findings:
            self._found.setdefault(finding.key, finding)


def archived_money(tx: Transaction, ids: Sequence[str], *, whole: bool) -> Mapping[str, ArchivedMoney]:
    """Return what left the ledgers of these accounts, and their opening entries; `whole`: with all that the archive
    holds."""
    books, openings = tx.archive.books(ids), tx.archive.openings(ids)
    kept, unknown = (tx.archive.sums(ids), tx.archive.unknown(ids)) if whole else ({}, {})
    return {
        account_id: ArchivedMoney(
            books=books[account_id],
            openings=_by_book(openings[account_id], book_of(account_id)),
            kept=kept.get(account_id),
            unknown=unknown.get(account_id, ()),
        )
        for account_id in ids
    }


def _by_book(lines: Sequence[Line], mine: str) -> Mapping[str, Sequence[Decimal]]:
    of: dict[str, list[Decimal]] = defaultdict(list)
    for line in lines:
        if line.credit == mine:
            of[line.debit].append(line.amount)
        else:
            of[line.credit].append(-line.amount)
    return of


def _chunks(ids: Collection[str]) -> Iterable[list[str]]:
    ordered = sorted(ids)
    return (ordered[n : n + CHUNK] for n in range(0, len(ordered), CHUNK))


def wait_limits_at(services: Services, provider: str | None) -> WaitLimits:
    """Return the longest waits at this provider."""
    policy = services.policy(provider)
    leases = {
        Step.PING: ping_lease(policy),
        Step.RESOLVE: open_lease(policy),
        Step.CLOSE: close_lease(policy),
    }
    resolve_after = services.resolve_after(provider) if provider else policy.resolve_after_seconds
    return wait_limits(policy, leases, resolve_after)
