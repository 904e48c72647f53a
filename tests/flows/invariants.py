"""What holds at the end of every story."""

from decimal import Decimal

from orchestrator.rules.billing import money
from orchestrator.rules.states import TERMINAL, UNENDED, PlacementState, State
from orchestrator.rules.values import Placement, Session
from orchestrator.store.core.rows import snapshot
from orchestrator.store.queries.sessions import SESSIONS
from tests.due import due_at, step_of
from tests.world import World

#: Every row in one of these has work to come.
LIVE = {State.QUEUED, State.STARTING, State.RUNNING}
PENDING = {PlacementState.OPENING, PlacementState.UNKNOWN, PlacementState.CLOSING}


def check(world: World, *, leaked: int = 0) -> None:
    """`leaked`: sessions that the story left open at a platform on purpose."""
    sessions = _sessions(world)
    placements = [placement for session in sessions for placement in world.placements(session.id)]
    _the_provider_is_content(world, placements, leaked)
    _the_ledger_is_the_balance(world, sessions)
    _every_live_row_has_a_step(sessions, placements)
    _what_is_over_is_over(world, sessions)


def _sessions(world: World) -> list[Session]:
    with world.services.database.reading() as tx:
        return [snapshot(Session, row) for row in tx.connection.execute(SESSIONS.select())]


def _the_provider_is_content(world: World, placements: list[Placement], leaked: int) -> None:
    report = world.server.report()
    assert report.pings_after_close == 0, report.late_pings
    if not leaked:
        assert all(most <= 1 for most in report.most_active_per_key.get("morph", {}).values())
    unended = [placement for placement in placements if placement.state in UNENDED]
    ours = {placement.handle for placement in unended} | {placement.candidate for placement in unended}
    unsure = {
        world.secrets[placement.credential.removeprefix("env:")]
        for placement in unended
        if placement.handle is None and placement.credential is not None
    }
    unknown = [s for s in world.server.open_sessions() if s.id not in ours and s.key not in unsure]
    assert len(unknown) == leaked, unknown


def _the_ledger_is_the_balance(world: World, sessions: list[Session]) -> None:
    with world.services.database.reading() as tx:
        accounts = tx.accounts.listed()
        truths = {account.id: tx.ledger.balance(account.id) for account in accounts}
    for account in accounts:
        assert account.balance == truths[account.id], account.id
        terms = world.services.config.terms_of(account)
        assert account.balance >= -terms.plan.overdraft_limit, account.id
        assert not world.ledger(account.id, "write_off")
        entries = world.ledger(account.id)
        for session in sessions:
            mine = [
                entry.amount if entry.kind == "charge" else -entry.amount
                for entry in entries
                if entry.session_id == session.id and entry.kind in {"charge", "reversal"}
            ]
            if session.account_id == account.id:
                assert (sum(mine, Decimal(0)), len(mine)) == (session.charged, session.charges)


def _every_live_row_has_a_step(sessions: list[Session], placements: list[Placement]) -> None:
    steps = [(step_of(s), due_at(s)) for s in sessions] + [(step_of(p), due_at(p)) for p in placements]
    assert all((step is None) == (at is None) for step, at in steps)
    assert all(step_of(session) is not None for session in sessions if session.state in LIVE)
    assert all(step_of(placement) is not None for placement in placements if placement.state in PENDING)


def _what_is_over_is_over(world: World, sessions: list[Session]) -> None:
    for session in sessions:
        if session.state in TERMINAL | {State.STOPPING}:
            assert session.stopped_at is not None
            assert session.stop_reason is not None
            assert session.charged == money.cost_if_stopped_at(session, session.stopped_at)
        if session.state in TERMINAL:
            assert all(placement.state not in UNENDED for placement in world.placements(session.id))
