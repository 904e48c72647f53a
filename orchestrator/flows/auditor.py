"""Looks at what it is shown, each time as one moment saw it, and remembers what is wrong there."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.flows.services import Services, close_lease, open_lease, ping_lease
from orchestrator.rules.audit import AccountFacts, Check, Finding, Now
from orchestrator.rules.judge import judge_account, judge_placement, judge_session
from orchestrator.rules.over_quota import is_over_quota
from orchestrator.rules.patience import Patience, patience
from orchestrator.rules.states import Step
from orchestrator.rules.values import Session
from orchestrator.store.audit import Posted
from orchestrator.store.unit import Transaction

#: An account with more sessions at once has its funds and nodes checked only by a full audit.
MOST_ACTIVE = 5000
#: No lease lasts longer than the longest and this.
LEASE_SLACK = timedelta(minutes=1)
#: Rows asked for in one statement.
CHUNK = 500


class Auditor:
    """One run. `anew`: whatever was summed before is summed again."""

    def __init__(self, services: Services, *, anew: bool) -> None:
        self._services = services
        self._anew = anew
        self._found: dict[tuple[Check, str], Finding] = {}
        self.ledgers: dict[str, Posted] = {}
        """What the accounts that were looked at add up to."""
        self.sessions = 0
        self.accounts = 0

    @property
    def found(self) -> list[Finding]:
        """One violation of a check for each subject, by check."""
        return sorted(self._found.values(), key=lambda finding: finding.key)

    def look_at_what_is_late(self) -> None:
        """Everything at once, by indexes that hold next to nothing in health."""
        with self._services.database.reading(at_one_moment=True) as tx:
            now = self._now(tx)
            bounds, live = now.bounds, tx.live_audit
            ahead = self._furthest(now)
            for placement in [*live.impossible_placements(), *live.placements_put_off(ahead)]:
                self._add(judge_placement(placement, now))
            self._add(live.overdue(now.at - timedelta(seconds=bounds.overdue_after_seconds)))
            self._add(live.overlong_leases(now.at + now.longest_lease))
            self._add(live.shared_keys())
            self._add(live.undelivered(now.at - timedelta(seconds=bounds.outbox_after_seconds)))
            self._add(live.silent_scheduler(now.at - timedelta(seconds=bounds.scheduler_after_seconds)))
            strange = {*live.impossible_sessions(), *live.sessions_put_off(ahead)}
        self.look_at(strange, ())

    def look_at(self, sessions: Collection[str], accounts: Collection[str]) -> None:
        """These sessions with all that belongs to them, then their accounts and those."""
        owners = set(accounts)
        for ids in _chunks(sessions):
            with self._services.database.reading(at_one_moment=True) as tx:
                owners |= self._look_at_sessions(tx, ids)
        for ids in _chunks(owners):
            with self._services.database.reading(at_one_moment=True) as tx:
                self._look_at_accounts(tx, ids)

    def look_at_sessions(self, ids: Collection[str]) -> None:
        """These, and not their accounts."""
        with self._services.database.reading(at_one_moment=True) as tx:
            self._look_at_sessions(tx, ids)

    def _look_at_sessions(self, tx: Transaction, ids: Collection[str]) -> set[str]:
        now, facts = self._now(tx), tx.audit.sessions(ids)
        for one in facts:
            self._add(judge_session(one, now))
        self.sessions += len(facts)
        return {one.session.account_id for one in facts}

    def _look_at_accounts(self, tx: Transaction, ids: Collection[str]) -> None:
        now, ledgers = self._now(tx), dict(tx.audit.ledgers(ids, anew=self._anew))
        active = self._active(tx, ids)
        for account in tx.audit.accounts(ids):
            if ledgers[account.id].balance != account.balance:  # a sum that was kept accuses nobody by itself
                ledgers |= tx.audit.ledgers([account.id], anew=True)
            facts = AccountFacts(
                account=account,
                posted=ledgers[account.id].balance,
                plan=self._services.config.terms_of(account).plan,
                active=active.get(account.id),
            )
            self._add(judge_account(self._with_usage(tx, facts, now), now))
            self.accounts += 1
        self.ledgers |= ledgers

    def _active(self, tx: Transaction, ids: Collection[str]) -> Mapping[str, Sequence[Session]]:
        """Of all at once, or one by one; who has too many by itself is left out."""
        most = None if self._anew else MOST_ACTIVE
        together = tx.audit.active(ids, most)
        if together is not None:
            return together
        return {
            one: sessions for each in ids for one, sessions in (tx.audit.active([each], most) or {}).items()
        }

    def _with_usage(self, tx: Transaction, facts: AccountFacts, now: Now) -> AccountFacts:
        plan = facts.plan
        if plan.max_sessions is None and plan.max_concurrent is None and plan.max_nodes_total is None:
            return facts
        usage = tx.sessions.usage(facts.account.id, now.at, self._services.config.cleanup_debts())
        held = replace(facts, total=usage.total, concurrent=usage.concurrent, nodes=usage.nodes)
        if not is_over_quota(held):
            return held
        return replace(held, admissions=tx.audit.admissions(facts.account.id))

    def _now(self, tx: Transaction) -> Now:
        config = self._services.config
        policies = [config.policy, *(provider.policy for provider in config.providers.values())]
        leases = (lease(policy) for policy in policies for lease in (ping_lease, open_lease, close_lease))
        return Now(
            at=tx.now(),
            bounds=config.audit,
            longest_lease=timedelta(seconds=max(leases)) + LEASE_SLACK,
            patience=self._patience,
            events_since=tx.findings.events_since(),
        )

    def _furthest(self, now: Now) -> Mapping[Step, datetime]:
        """No step lies further ahead at any provider."""
        of_all = [self._patience(provider).waits for provider in (None, *self._services.config.providers)]
        return {step: now.at + max(waits[step] for waits in of_all) for step in of_all[0]}

    def _patience(self, provider: str | None) -> Patience:
        policy, card = self._services.policy(provider), self._services.card(provider) if provider else None
        leases = {
            Step.PING: ping_lease(policy),
            Step.RESOLVE: open_lease(policy),
            Step.CLOSE: close_lease(policy),
        }
        silence = (card.resolve_after_seconds if card else None) or 0
        return patience(policy, leases, max(policy.resolve_after_seconds, silence))

    def _add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._found.setdefault(finding.key, finding)


def _chunks(ids: Collection[str]) -> Iterable[list[str]]:
    ordered = sorted(ids)
    return (ordered[n : n + CHUNK] for n in range(0, len(ordered), CHUNK))
