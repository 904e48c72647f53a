"""Ping what is due: hundreds at once, settled in bulk as they finish. Carries out what `rules/decide.py` decides."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from orchestrator.flows import placing
from orchestrator.flows.account_work import AccountWork, on_account
from orchestrator.flows.services import PING_BEGINS_WITHIN, Services, ping_lease
from orchestrator.flows.targets import target_of
from orchestrator.flows.upkeep import Tally
from orchestrator.providers.driver import Probe
from orchestrator.rules.decide import (
    BecomeRunning,
    GiveUp,
    Ping,
    PingAgain,
    Rest,
    Stop,
    after_ping,
    note_ping,
    plan_steps,
)
from orchestrator.rules.states import State, Step, StopReason
from orchestrator.rules.values import Placement, Session, Verdict
from orchestrator.store.database import new_token
from orchestrator.store.pings import GoodPing
from orchestrator.store.unit import Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinged:
    """A claimed session and what its ping said."""

    session: Session
    placement: Placement
    probe: Probe
    token: str


def ping_due(services: Services) -> Tally:
    """Ping every due session that this process has a free slot for; a full batch wakes the next."""
    claims = _claim_everywhere(services)
    probes = [_probe(services, session, placement, token, by) for session, placement, token, by in claims]
    settled = 0
    for chunk in services.loop.stream(probes):
        settle(services, chunk)
        settled += len(chunk)
    if claims:
        services.wake(frozenset({Step.PING}))
    return Tally(claimed=len(claims), settled=settled)


def settle(services: Services, chunk: Sequence[Pinged]) -> None:
    """Good pings that change nothing go in bulk; every other is decided again on its own, under its locks."""
    begun = [pinged for pinged in chunk if not pinged.probe.not_begun]
    _give_back(services, [pinged for pinged in chunk if pinged.probe.not_begun])
    written: set[str] = set()

    def settle_good(tx: Transaction) -> None:
        now = tx.now()
        good = {pinged.token: [] for pinged in begun}  # type: dict[str, list[GoodPing]]
        for pinged in begun:
            ping = _good(services, pinged, now)
            if ping is not None:
                good[pinged.token].append(ping)
        written.clear()
        for token, pings in good.items():
            written.update(tx.pings.settle_good(pings, token))

    services.database.transact(settle_good)
    for pinged in begun:
        if pinged.session.id not in written:
            _settle_one(services, pinged)


def _claim_everywhere(services: Services) -> list[tuple[Session, Placement, str, float]]:
    claimed: list[tuple[Session, Placement, str, float]] = []
    try:
        for provider in services.drivers:
            claimed += _claim(services, provider)
    except BaseException:  # the database failed half-way: what was claimed is never pinged
        for _, placement, _, _ in claimed:
            services.slots.release(Step.PING, placement.provider)
        raise
    return claimed


def _claim(services: Services, provider: str) -> list[tuple[Session, Placement, str, float]]:
    free = services.slots.take(Step.PING, provider)
    claimed: Sequence[tuple[Session, Placement]] = []
    token = new_token()
    begin_by = time.monotonic() + PING_BEGINS_WITHIN
    try:
        if free:
            claimed = services.database.transact(
                lambda tx: tx.pings.claim(
                    provider,
                    free,
                    now=tx.now(),
                    token=token,
                    lease_seconds=ping_lease(services.policy(provider)),
                    lacking=services.lacking(provider),
                )
            )
    finally:
        services.slots.release(Step.PING, provider, free - len(claimed))
    return [(session, placement, token, begin_by) for session, placement in claimed]


async def _probe(
    services: Services, session: Session, placement: Placement, token: str, begin_by: float
) -> Pinged:
    try:
        target = target_of(services, placement, begin_by, to_ping=True)
        probe = await services.drivers[placement.provider].probe(target)
        return Pinged(session=session, placement=placement, probe=probe, token=token)
    finally:
        services.slots.release(Step.PING, placement.provider)


def _give_back(services: Services, late: Sequence[Pinged]) -> None:
    """Pings that were never begun: due again at once, with what was learned of the ladder."""
    if not late:
        return

    def give_back(tx: Transaction) -> None:
        now = tx.now()
        for pinged in late:
            tx.pings.release([pinged.session.id], pinged.token, now)
            _remember_variant(tx, pinged)

    services.database.transact(give_back)
    services.wake(frozenset({Step.PING}))


def _good(services: Services, pinged: Pinged, now: datetime) -> GoodPing | None:
    """The bulk settlement of this ping; None where more than its time changes."""
    session, probe = pinged.session, pinged.probe
    if session.state is not State.RUNNING or probe.verdict is not Verdict.ALIVE:
        return None
    if session.failures or session.gone_since or session.loading_since or session.unusable_since:
        return None
    if probe.variant not in (None, pinged.placement.ping_variant):
        return None
    policy = services.policy(session.provider)
    noted = note_ping(session, _as_ping(probe), policy, now)
    decision = after_ping(noted, policy, now, services.jitter())
    if not isinstance(decision, PingAgain):
        return None
    planned = plan_steps(noted, policy, now, ping_at=decision.at)
    assert planned.next_step is not None
    assert planned.next_step_at is not None
    return GoodPing(
        session_id=session.id,
        revision=session.revision,
        at=now,
        latency_ms=probe.latency_ms,
        ping_at=decision.at,
        next_step=planned.next_step,
        next_step_at=planned.next_step_at,
    )


def _settle_one(services: Services, pinged: Pinged) -> None:
    """Account, session, placement locked; due stops applied; then decided on what is true now."""

    def settle_one(tx: Transaction) -> None:
        work = on_account(services, tx, pinged.session.account_id)
        session = tx.sessions.lock(pinged.session.id) if work else None
        if work is None or session is None:
            return
        if session.lease_token == pinged.token:  # else a stop, or another ping, took it over
            _remember_variant(tx, pinged)
            _carry_out(work, session, pinged.probe)
        work.finish()

    services.database.transact(settle_one)


def _carry_out(work: AccountWork, session: Session, probe: Probe) -> None:
    policy = work.policy(session)
    noted = note_ping(session, _as_ping(probe), policy, work.now)
    decision = after_ping(
        noted, policy, work.now, work.services.jitter(), retry_after_seconds=probe.retry_after_seconds
    )
    match decision:
        case PingAgain(at=at):
            work.keep(session, work.planned(_free(noted, ping_at=at)))
        case BecomeRunning():
            interval = after_ping(
                replace(noted, state=State.RUNNING), policy, work.now, work.services.jitter()
            )
            at = interval.at if isinstance(interval, PingAgain) else work.now
            work.start_running(session, replace(noted, ping_at=at))
        case Stop(reason=reason, detail=detail):
            saved = work.keep(session, _free(noted, ping_at=noted.ping_at))
            if not placing.move_on(work, saved, work.now, detail):
                work.stop(saved, reason, work.now, detail)
        case GiveUp(detail=detail):
            _give_up(work, session, noted, detail)
        case Rest():
            work.keep(session, _free(session, ping_at=session.ping_at))
        case unknown:
            assert_never(unknown)


def _give_up(work: AccountWork, session: Session, noted: Session, detail: str) -> None:
    """This attempt to start is over: the next place, or the end."""
    saved = work.keep(session, _free(noted, ping_at=None))
    if placing.next_attempt(work, saved, saved) is None:
        reason = StopReason.DEAD if session.ever_ran else StopReason.START_FAILED
        work.stop(saved, reason, work.now, detail)


def _free(session: Session, *, ping_at: datetime | None) -> Session:
    """The lease given back."""
    return replace(session, ping_at=ping_at, lease_token=None, leased_at=None, lease_until=None, attempts=0)


def _remember_variant(tx: Transaction, pinged: Pinged) -> None:
    """The rung of the ladder that works here, so that the next ping begins with it, in any process."""
    if pinged.probe.variant in (None, pinged.placement.ping_variant):
        return
    placement = tx.placements.lock(pinged.placement.id)
    if placement is not None:
        tx.placements.save(placement, replace(placement, ping_variant=pinged.probe.variant))


def _as_ping(probe: Probe) -> Ping:
    return Ping(probe.verdict, probe.latency_ms, probe.detail, probe.retry_after_seconds)
