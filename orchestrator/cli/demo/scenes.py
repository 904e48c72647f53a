"""The scenes, with one account each, played at once, and what must happen in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from orchestrator.cli.demo import cast, refusals
from orchestrator.cli.demo.actor import Actor
from orchestrator.cli.demo.checks import Late, Seen

#: Seconds that a session runs on, to be seen and to be pinged.
_SEEN = 2.5


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: its player, the balance of the account, and the steps."""

    account: str
    credit: str
    play: Callable[[Actor], None]


def concurrency(actor: Actor) -> None:
    """Run two sessions; a third is refused, and a queued one starts when a slot is free."""
    first, second = actor.create("first", cast.LLAMA), actor.create("second", cast.QWEN)
    for session in (first, second):
        actor.expect_states(session, "starting", "running")
        actor.expect_answer(session)
    actor.pause(_SEEN)
    for session in (first, second):
        actor.expect_ping(session)
    third = actor.request("third", cast.QWEN)
    actor.expect_refusal("a third at once", "quota_concurrent_exceeded", third)
    fourth = actor.create("fourth", cast.LLAMA, on_quota="queue")
    actor.expect("a fourth may wait: queued, first in line", lambda: _seen_in_line(actor, fourth))
    actor.done("session.close", session_id=first)
    actor.expect_states(first, "starting", "running", "stopping", "stopped", reason="user")
    actor.expect_states(fourth, "queued", "starting", "running")
    actor.expect("fourth: starts once a slot is free", lambda: _seen_in_turn(actor, first, fourth))
    actor.expect_answer(fourth)
    actor.pause(_SEEN)
    for session in (second, fourth):
        actor.done("session.close", session_id=session)
    actor.expect_states(second, "starting", "running", "stopping", "stopped", reason="user")
    actor.expect_states(fourth, "queued", "starting", "running", "stopping", "stopped", reason="user")


def death(actor: Actor) -> None:
    """Kill a session at the provider: pings find it out, and it is stopped and closed there."""
    session = actor.create("dies", cast.LLAMA)
    actor.expect_states(session, "starting", "running")
    actor.expect_answer(session)
    handle = actor.look(session)["placement"]["handle"]
    actor.world.upstream.kill(handle)
    actor.expect_states(session, "starting", "running", "stopping", "stopped", reason="dead")
    actor.expect("dies: the provider received its close", lambda: _seen_closed(actor, handle))


def duration(actor: Actor) -> None:
    """Run a session for eight seconds. It costs eight blocks and no more."""
    session = actor.create("eight-seconds", cast.LLAMA, stop={"max_duration_seconds": 8})
    actor.expect_states(session, "starting", "running", "stopping", "stopped", reason="max_duration")
    cost = 8 * cast.PRICE_OF_BLOCK
    actor.expect(f"eight-seconds: costs 8 blocks, {cost}", lambda: _seen_cost(actor, session, cost))


def interactions(actor: Actor) -> None:
    """Report three interactions, then two more, to a session that stops after five."""
    session = actor.create("five-answers", cast.QWEN, stop={"max_interactions": 5})
    actor.expect_states(session, "starting", "running")
    for count in (3, 2):
        actor.pause(_SEEN)
        actor.done("session.record_interactions", batch=[{"session_id": session, "count": count}])
    actor.expect_states(session, "starting", "running", "stopping", "stopped", reason="max_interactions")
    actor.expect("five-answers: 5 were counted", lambda: _seen_count(actor, session, 5))


def idleness(actor: Actor) -> None:
    """Use a session once, then leave it idle until it is stopped."""
    session = actor.create("forgotten", cast.QWEN, stop={"idle_seconds": 4})
    actor.expect_states(session, "starting", "running")
    used_at = datetime.now(UTC)
    item = {"session_id": session, "count": 1, "at": used_at.isoformat()}
    actor.done("session.record_interactions", batch=[item])
    actor.expect_states(session, "starting", "running", "stopping", "stopped", reason="idle")
    due = used_at + timedelta(seconds=4)
    actor.expect(
        "forgotten: stops 4 s after its last use", lambda: _seen_stop_at(actor, session, used_at, due)
    )


def balance(actor: Actor) -> None:
    """Spend money for ten blocks to the last cent. The account then owes nothing."""
    session = actor.create("last-cent", cast.LLAMA)
    actor.expect_states(session, "starting", "running", "stopping", "stopped", reason="balance_exhausted")
    cost = 10 * cast.PRICE_OF_BLOCK
    actor.expect(f"last-cent: costs all of the credit, {cost}", lambda: _seen_cost(actor, session, cost))
    actor.expect("the balance is 0.00, in the account and in the ledger", lambda: _seen_money(actor))
    again = actor.request("another", cast.LLAMA)
    actor.expect_refusal("another, without money,", "insufficient_balance", again)


#: Four of them hold a key of the gateway, and it has no more: a queued session takes one that was given back.
SCENES: Sequence[Scene] = (
    Scene("alice", "25.00", concurrency),
    Scene("bob", "10.00", death),
    Scene("carol", "10.00", duration),
    Scene("dave", "10.00", interactions),
    Scene("erin", "10.00", idleness),
    Scene("frank", "0.10", balance),
    Scene("grace", "10.00", refusals.play),
)


def _seen_in_line(actor: Actor, session: str) -> Seen:
    now = actor.look(session)
    right = now["state"] == "queued" and now["queue_position"] == 1
    return Seen(f"{now['state']}, position {now['queue_position']}", right)


def _seen_in_turn(actor: Actor, earlier: str, later: str) -> Seen:
    freed, ran = actor.look(earlier)["ended_at"], actor.look(later)["running_at"]
    if freed is None or ran is None:
        return Seen(f"slot freed: {freed}, running: {ran}", ok=False)
    seconds = (datetime.fromisoformat(ran) - datetime.fromisoformat(freed)).total_seconds()
    return Seen(f"running {seconds:.1f} s after the slot was free", seconds >= 0)


def _seen_closed(actor: Actor, handle: str) -> Seen:
    found = actor.world.upstream.session(handle)
    closed_by = found["closed_by"] if found else None
    return Seen(f"closed by: {closed_by}", closed_by == "client")


def _seen_cost(actor: Actor, session: str, cost: Decimal) -> Seen:
    now = actor.look(session)
    return Seen(f"cost {now['cost']} {now['currency']}", Decimal(now["cost"]) == cost)


def _seen_count(actor: Actor, session: str, count: int) -> Seen:
    counted = actor.look(session)["interactions"]
    return Seen(f"{counted} were counted", counted == count)


def _seen_stop_at(actor: Actor, session: str, used_at: datetime, due: datetime) -> Seen:
    stop_at = actor.look(session)["stop_at"]
    if stop_at is None:
        return Seen("it had no end", ok=False)
    at = datetime.fromisoformat(stop_at)
    return Seen(f"{(at - used_at).total_seconds():.1f} s after", abs(at - due) < timedelta(seconds=0.01))


def _seen_money(actor: Actor) -> Seen:
    """Return the account's balance. The charge is posted in the transaction of the stop, so it is included."""
    for balance in actor.world.books.balances():
        if balance.account_id == actor.account:
            text = f"account {balance.cached:.2f}, ledger {balance.ledger:.2f}"
            return Seen(text, balance.is_right and balance.cached == 0)
    raise Late(f"there is no account {actor.account}")
