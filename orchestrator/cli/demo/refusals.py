"""The scene of refusals: requests that a plan does not allow are refused, and change nothing."""

from orchestrator.cli.demo import cast
from orchestrator.cli.demo.actor import Actor
from orchestrator.cli.demo.checks import Seen

#: Sessions that the plan keeps.
TOTAL = 20


def play(actor: Actor) -> None:
    """Ask for too many nodes, for a model that cannot chat, and for one session more than the plan keeps."""
    nodes = actor.request("three-nodes", cast.QWEN, nodes=3)
    actor.expect_refusal("a session of 3 nodes", "quota_nodes_exceeded", nodes)
    base = actor.request("base-model", cast.QWEN_BASE)
    actor.expect_refusal("a base model, not instruction-tuned,", "model_not_eligible", base)
    batch = [actor.request(f"kept-{n:02}", cast.QWEN, start=False) for n in range(1, TOTAL + 1)]
    kept = actor.done_all("session.create", batch)
    states = {session["state"] for session in kept}
    actor.note(f"{TOTAL} sessions are kept: created", _seen_kept(len(kept), states))
    one_more = actor.request("one-more", cast.QWEN, start=False)
    actor.expect_refusal("a 21st session", "quota_total_exceeded", one_more)
    actor.expect(f"the refusals left nothing: {TOTAL} rows", lambda: _seen_rows(actor))


def _seen_kept(count: int, states: set[str]) -> Seen:
    return Seen(f"{count} sessions: {', '.join(sorted(states))}", count == TOTAL and states == {"created"})


def _seen_rows(actor: Actor) -> Seen:
    rows = sum(session["account_id"] == actor.account for session in actor.world.books.sessions())
    return Seen(f"{rows} rows", rows == TOTAL)
