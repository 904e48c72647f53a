"""A worker that lacks a secret, while another has it or none: it leaves the work to others, and says so."""

from dataclasses import replace

import pytest

from orchestrator.flows.operations.provider_check import check_provider
from orchestrator.flows.reports.explain import explain
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Verdict
from tests.drivers import platform_of
from tests.due import token_of
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import MINUTE, SECOND


def _forget_the_secrets(world: PlatformWorld) -> None:
    """Start all workers again without these secrets."""
    world.secrets = {}
    world.services = world.another_worker()


@pytest.mark.parametrize("means", ["gone", "credentials"])
def test_an_attached_endpoint_is_not_dead_because_its_secret_is_not_there(
    make_platforms: MakeWorld, means: str
) -> None:
    world = make_platforms(platform_of("fpt-attach").with_options(unauthorized_means=means))
    session_id = world.run_at("fpt-attach")
    knows = world.services
    _forget_the_secrets(world)
    before = len(world.chats("fpt-attach"))
    world.pass_time(17 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert len(world.chats("fpt-attach")) == before, "nothing was sent without it"
    assert world.events("fpt-attach") == ["misconfigured"]
    world.services = knows
    world.pass_time(5 * MINUTE)
    assert world.session(session_id).last_verdict is Verdict.ALIVE
    assert world.events("fpt-attach") == ["misconfigured", "recovered"]


def test_a_ping_that_one_worker_cannot_send_is_sent_by_another(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-attach"))
    session_id = world.run_at("fpt-attach")
    world.jump(31 * SECOND)
    secrets, world.secrets = world.secrets, {}
    lacks = world.another_worker()
    world.secrets = secrets
    world.settle(lacks)
    assert token_of(world.session(session_id)) is None
    world.jump(6 * SECOND)
    world.settle()
    assert world.session(session_id).last_ping_at == world.clock.now


def test_nothing_is_attached_without_its_secret(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-attach"))
    secrets, knows = world.secrets, world.services
    session_id = world.create_at("fpt-attach")
    _forget_the_secrets(world)
    world.pass_time(MINUTE)
    assert "this worker lacks the secret env:ATTACHED_1" in str(world.placement(session_id).last_answer)
    assert world.chats("fpt-attach") == []
    assert world.events("fpt-attach") == ["misconfigured"]
    world.services, world.secrets = knows, secrets
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.RUNNING


def test_what_sesterce_runs_outlives_the_loss_of_its_endpoints_secret(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("sesterce").with_options(endpoint_secret_ref="env:EP"))
    world.secrets["EP"] = "sk-sesterce-1"
    world.services = world.another_worker()
    sessions = world.run_many_at("sesterce", 4)
    del world.secrets["EP"]
    world.services = world.another_worker()
    world.pass_time(20 * MINUTE)
    assert [world.session(one).state for one in sessions] == [State.RUNNING] * 4
    assert "misconfigured" in world.events("sesterce")
    world.done("session.close", session_id=sessions[0])
    world.pass_time(MINUTE)
    assert world.session(sessions[0]).state is State.STOPPED, "the key closes, and is there"


def test_where_the_only_key_is_retired_nothing_is_placed(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(platform_of("openai"), upstream={"auth": "none"}))
    one = world.providers["openai"]
    world.providers["openai"] = replace(one, credentials=(), retired_credentials=one.credentials)
    world.services = world.another_worker()
    assert world.refused("session.create", account_id="acme", model_id="openai") == "no_capacity"


@pytest.mark.parametrize("ref", ["env:NOBODY_ALLOWED_IT", "env:MORPHEUS_1"])
def test_a_refused_attach_names_the_secret_and_the_host(make_platforms: MakeWorld, ref: str) -> None:
    world = make_platforms(platform_of("fpt-attach"), platform_of("morpheus"))
    attach = {"endpoint_url": "https://elsewhere.example/v1", "secret_ref": ref, "model": "m"}
    refused = world.job("session.create", account_id="acme", model_id="fpt-attach", attach=attach)
    assert refused["error"]["code"] == "invalid_request"
    assert f"attach: {ref} may not be sent to elsewhere.example" in refused["error"]["message"]


def test_what_never_started_for_want_of_a_secret_says_so(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("fpt-attach"))
    session_id = world.create_at("fpt-attach")
    _forget_the_secrets(world)
    world.pass_time(25 * MINUTE)
    assert world.session(session_id).stop_reason is StopReason.START_TIMEOUT
    assert "lacks the secret env:ATTACHED_1" in str(world.placement(session_id).proof)


def test_provider_check_names_the_missing_secret_of_endpoints(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("sesterce").with_options(endpoint_secret_ref="env:EP"))
    bad = [one for one in check_provider(world.services, "sesterce") if one.works is False]
    assert [(one.what, one.said) for one in bad] == [
        ("endpoint_secret_ref env:EP", "environment variable EP is not set")
    ]


def test_a_lost_open_that_is_to_be_closed_is_seen_from_the_first_minute(make_platforms: MakeWorld) -> None:
    world = make_platforms(platform_of("morpheus-node"))
    world.fault_at("morpheus-node", "cut_after_effect", "open", times=1)
    session_id = world.create_at("morpheus-node")
    world.settle()
    world.done("session.close", session_id=session_id)
    with world.services.database.reading() as tx:
        assert [one.session_id for one in tx.placements.unproven()] == [session_id]
        reported = explain(
            tx, world.session(session_id), world.services.policy("morpheus-node"), world.clock.now
        )
    assert reported["next_step"] == "resolve"
