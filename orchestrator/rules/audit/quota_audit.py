"""Find admissions over the quota, long afterwards, by the limits that each session was admitted under."""

from collections.abc import Iterator, Sequence

from orchestrator.rules.audit.invariants import AccountFacts, Admission


def quota_excesses(facts: AccountFacts) -> Iterator[str]:
    """Yield by how much admissions exceeded the account's quota."""
    for what, held, name in _over_what_is_allowed_now(facts):
        allowed = _allowed_to_the_newest(facts.admissions, name)
        if allowed is not None and held > allowed:
            yield f"it holds {held} {what}, {allowed} were allowed when the newest came"
    for session in facts.active or ():
        most = session.admitted_under.get("max_nodes")
        if most is not None and session.nodes > most:
            yield f"session {session.id} has {session.nodes} nodes, {most} were allowed when it came"


def exceeds_quota(facts: AccountFacts) -> bool:
    """Return whether the account holds more than its plan allows now: then the limits at its admissions must be read
    too."""
    return any(_over_what_is_allowed_now(facts))


def _over_what_is_allowed_now(facts: AccountFacts) -> Iterator[tuple[str, int, str]]:
    """Yield what exceeds the plan's present limits. That alone is no fault: an operator may have lowered a limit."""
    plan = facts.plan
    for what, held, name, limit in (
        ("sessions", facts.total, "max_sessions", plan.max_sessions),
        ("concurrent sessions", facts.concurrent, "max_concurrent", plan.max_concurrent),
        ("nodes in total", facts.nodes, "max_nodes_total", plan.max_nodes_total),
    ):
        if held is not None and limit is not None and held > limit:
            yield what, held, name


def _allowed_to_the_newest(admissions: Sequence[Admission], name: str) -> int | None:
    """Return the limit under which the newest session was admitted, since everything held was counted with it. None:
    unlimited, or not known. Of several at one instant, return the highest."""
    of_all = name == "max_sessions"
    came = [(at, one.under) for one in admissions if (at := one.created_at if of_all else one.admitted_at)]
    newest = max((at for at, _ in came), default=None)
    limits = [under.get(name) for at, under in came if at == newest]
    return None if None in limits else max((limit for limit in limits if limit is not None), default=None)
