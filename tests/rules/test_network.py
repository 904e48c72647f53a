"""Which is at fault when a ping fails: the provider, or the network here? A table of results of the same minute."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.sessions.pings import Ping, reaches
from orchestrator.rules.upstream.network import (
    Contact,
    Evidence,
    Finding,
    NetworkFails,
    NothingToCompare,
    NotKnown,
    ProviderFails,
    concerns,
    is_still_at_fault,
    judge,
    may_wait,
    subject_of,
)
from orchestrator.rules.values import Policy, Session, Verdict
from tests.rules.builders import HOUR, MINUTE, SECOND, T0, a_running_session, a_starting_session

NOW = T0 + HOUR
HERE, THERE = "here", "there"


def answers(provider: str, ago: float = 5, host: str = HERE) -> Contact:
    return Contact(host=host, provider=provider, reached_at=NOW - ago * SECOND)


def fails(provider: str, since: float = 40, host: str = HERE, reached: float | None = 70) -> Contact:
    """Return a contact that failed just now."""
    at = None if reached is None else NOW - reached * SECOND
    return Contact(
        host=host, provider=provider, reached_at=at, failing_since=NOW - since * SECOND, failed_at=NOW
    )


def evidence(*contacts: Contact, canary: bool | None = None, since: float = 40) -> Evidence:
    return Evidence(
        host=HERE,
        provider="alpha",
        contacts=contacts,
        failing_since=NOW - since * SECOND,
        now=NOW,
        canary_answers=canary,
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(evidence(fails("alpha"), fails("beta")), NetworkFails, id="two providers, both fail"),
        pytest.param(evidence(fails("alpha"), answers("beta")), ProviderFails, id="the other answers"),
        pytest.param(
            evidence(fails("alpha"), fails("beta"), answers("gamma")),
            ProviderFails,
            id="one of two others answers",
        ),
        pytest.param(
            evidence(fails("alpha"), fails("beta", reached=None)), NetworkFails, id="the other never answered"
        ),
        pytest.param(evidence(fails("alpha")), NothingToCompare, id="the only provider"),
        pytest.param(evidence(), NothingToCompare, id="nothing is noted"),
        pytest.param(
            evidence(fails("alpha"), answers("beta", ago=50)), NotKnown, id="the other was not tried since"
        ),
        pytest.param(
            evidence(fails("alpha"), fails("beta"), answers("gamma", ago=50)),
            NotKnown,
            id="a third was not tried",
        ),
        pytest.param(
            evidence(fails("alpha"), fails("beta", reached=10)),
            ProviderFails,
            id="one endpoint of the other fails",
        ),
        pytest.param(
            evidence(fails("alpha", reached=10), fails("beta")),
            ProviderFails,
            id="one endpoint here fails",
        ),
        pytest.param(
            evidence(answers("alpha"), fails("beta")), ProviderFails, id="its other endpoints answer"
        ),
        pytest.param(
            evidence(fails("alpha"), answers("alpha", host=THERE)),
            NetworkFails,
            id="it answers another worker",
        ),
        pytest.param(
            evidence(fails("alpha"), answers("beta"), answers("alpha", host=THERE)),
            NetworkFails,
            id="only the way to it is broken",
        ),
        pytest.param(
            evidence(answers("alpha"), answers("alpha", host=THERE)), ProviderFails, id="it answers here too"
        ),
        pytest.param(
            evidence(fails("alpha"), fails("alpha", host=THERE)),
            NothingToCompare,
            id="it fails for others too",
        ),
        pytest.param(
            evidence(fails("alpha"), answers("beta", host=THERE)),
            NothingToCompare,
            id="what others reach elsewhere",
        ),
        pytest.param(evidence(fails("alpha"), canary=False), NetworkFails, id="the canary is silent"),
        pytest.param(
            evidence(fails("alpha"), fails("beta"), canary=True), ProviderFails, id="the canary answers"
        ),
        pytest.param(
            evidence(fails("alpha"), answers("beta"), canary=False),
            ProviderFails,
            id="a canary beside an answer",
        ),
    ],
)
def test_who_is_at_fault(seen: Evidence, expected: type[Finding]) -> None:
    assert isinstance(judge(seen), expected)


def test_who_must_be_asked_is_named() -> None:
    assert judge(evidence(fails("alpha"), answers("beta", ago=50))) == NotKnown(("beta",))


def test_where_one_way_is_broken_it_is_named() -> None:
    found = judge(evidence(fails("alpha"), answers("alpha", host=THERE)))
    assert found == NetworkFails("alpha answers to workers on there", provider="alpha", is_proven=True)


@pytest.mark.parametrize(
    ("finding", "since", "expected"),
    [
        pytest.param(NetworkFails("", is_proven=True), 3600, True, id="proof holds for as long as it lasts"),
        pytest.param(NetworkFails(""), 1799, True, id="silence holds"),
        pytest.param(NetworkFails(""), 1801, False, id="for its time"),
    ],
)
def test_how_long_it_is_believed(finding: NetworkFails, since: float, expected: bool) -> None:
    contacts = [fails("alpha", since=since), answers("beta")]
    assert is_still_at_fault(finding, contacts, NOW, timedelta(seconds=1800)) is expected


def test_nothing_that_fails_is_believed() -> None:
    assert is_still_at_fault(NetworkFails(""), [answers("beta")], NOW, MINUTE)


moments = st.none() | st.integers(0, 200).map(lambda ago: NOW - ago * SECOND)
contacts = st.builds(
    Contact,
    host=st.sampled_from([HERE, THERE]),
    provider=st.sampled_from(["alpha", "beta", "gamma"]),
    reached_at=moments,
    failing_since=moments,
    failed_at=moments,
)


@given(
    st.lists(contacts, max_size=6, unique_by=lambda one: (one.host, one.provider)), st.none() | st.booleans()
)
def test_any_evidence_has_one_finding(seen: list[Contact], canary: bool | None) -> None:
    found = judge(evidence(*seen, canary=canary))
    others = [one for one in seen if one.host == HERE and one.provider != "alpha"]
    fresh = NOW - 40 * SECOND
    if any(one.answers_since(fresh) for one in others):
        assert isinstance(found, ProviderFails) or (
            isinstance(found, NetworkFails) and found.provider == "alpha"
        )
    if isinstance(found, NetworkFails) and not found.is_proven:
        assert [one for one in others if one.is_failing()], "another provider fails too"
    if not seen and canary is None:
        assert found == NothingToCompare()
    assert judge(replace(evidence(*seen, canary=canary), provider="alpha")) == found


@pytest.mark.parametrize(
    ("subject", "concerned"),
    [
        pytest.param(subject_of(HERE), {"alpha", "beta"}, id="no provider is reached"),
        pytest.param(subject_of(HERE, "beta"), {"beta"}, id="one is not reached"),
        pytest.param(subject_of("road to nowhere", "beta"), {"beta"}, id="whatever a host is called"),
    ],
)
def test_an_alarm_of_the_network_concerns_what_is_not_reached(subject: str, concerned: set[str]) -> None:
    assert {name for name in ("alpha", "beta") if concerns(subject, name)} == concerned


@pytest.mark.parametrize(
    ("session", "ping", "reached"),
    [
        pytest.param(a_running_session(), Ping(Verdict.ALIVE, 7), True, id="it answers"),
        pytest.param(a_running_session(), Ping(Verdict.GONE, 7), True, id="an error is an answer too"),
        pytest.param(a_running_session(), Ping(Verdict.TRANSIENT, 7), False, id="it does not"),
        pytest.param(a_running_session(), Ping(Verdict.TRANSIENT, 7, ended="x"), None, id="it has ended"),
        pytest.param(a_running_session(), Ping(Verdict.ALIVE, 7, asleep=True), None, id="it was not sent"),
        pytest.param(a_starting_session(), Ping(Verdict.TRANSIENT, 7), None, id="it starts"),
    ],
)
def test_what_a_ping_shows_of_the_way_to_its_provider(
    session: Session, ping: Ping, reached: bool | None
) -> None:
    assert reaches(session, ping) is reached


@pytest.mark.parametrize(
    ("contacts", "waits"),
    [
        pytest.param([], True, id="nothing is known yet"),
        pytest.param([answers("alpha")], True, id="it answers"),
        pytest.param([fails("alpha", since=150)], True, id="as long as a death takes, and a window"),
        pytest.param([fails("alpha", since=151)], False, id="too long"),
        pytest.param([fails("beta", since=999), fails("alpha", since=999, host=THERE)], True, id="others"),
    ],
)
def test_others_are_waited_for_only_so_long(contacts: list[Contact], waits: bool) -> None:
    policy = Policy(dead_after_seconds=60, ping_timeout_seconds=30)
    assert may_wait(evidence(*contacts), policy) is waits
