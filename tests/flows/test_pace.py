"""Claims take what can begin soon, and what could not is given back at once."""

import threading
from datetime import timedelta

from orchestrator.flows.engine.pipeline import Pipeline
from orchestrator.flows.engine.provider_steps import claim_everywhere
from orchestrator.flows.engine.slots import LEAST
from orchestrator.flows.steps.ping.ping_due import PING, settle_pings
from orchestrator.flows.steps.ping.send_pings import not_begun
from orchestrator.rules.states import Step
from orchestrator.rules.values import Verdict
from orchestrator.settings import SecretStore
from orchestrator.settings.secrets import KEPT_FOR, KeyRings
from tests.due import token_of
from tests.store.stage import statements
from tests.waiting import eventually
from tests.world import MINUTE, START, World


def test_a_worker_that_begins_little_claims_little_and_shares_it_out(world: World) -> None:
    alpha = [world.run_session() for _ in range(2)]
    world.jump(MINUTE)
    services = world.services
    services.pace.batch(1, now=0.0).begin_one(60.0)
    waiting = services.pace.batch(LEAST - 1, now=0.0)
    assert len(claim_everywhere(services, PING)) == 1
    for _ in range(LEAST - 1):
        waiting.begin_one(60.0)
    assert len(claim_everywhere(services, PING)) == len(alpha) - 1


def test_while_nothing_may_be_claimed_nothing_is_asked(world: World) -> None:
    world.run_session()
    world.jump(MINUTE)
    taken = {name: world.services.slots.take(Step.PING, name) for name in world.providers}
    with statements(world.services.database) as seen:
        assert claim_everywhere(world.services, PING) == []
    assert seen == []
    for name, count in taken.items():
        world.services.slots.release(Step.PING, name, count)
    world.services.pace.batch(10_000, now=0.0)
    with statements(world.services.database) as seen:
        assert claim_everywhere(world.services, PING) == []
    assert seen == []


def test_pings_that_were_never_sent_are_given_back_in_one_statement(world: World) -> None:
    sessions = [world.run_session() for _ in range(2)]
    world.jump(MINUTE)
    claimed = claim_everywhere(world.services, PING)
    assert len(claimed) == len(sessions)
    with statements(world.services.database) as seen:
        settle_pings(world.services, [not_begun(one, "too late") for one in claimed])
    assert len([said for said, _ in seen if said.startswith("UPDATE sessions")]) == 1
    assert [token_of(world.session(one)) for one in sessions] == [None, None]
    assert all(world.session(one).failures == 0 for one in sessions)


def test_a_pipeline_settles_all_and_ends_all_its_threads(world: World) -> None:
    sessions = [world.run_session() for _ in range(2)]
    world.jump(MINUTE)
    before, metered = set(threading.enumerate()), pings_metered(world)
    failures: list[Exception] = []
    pipeline = Pipeline(world.services, PING, failed=failures.append)
    threads = set(threading.enumerate()) - before
    assert pipeline.claim() == len(sessions)
    assert pipeline.wait(30) == 0
    assert {world.session(one).last_ping_at for one in sessions} == {START + MINUTE}
    assert {world.session(one).last_verdict for one in sessions} == {Verdict.ALIVE}
    assert (world.services.slots.held(), failures) == (0, [])
    assert pings_metered(world) == metered + len(sessions)  # saved before the process may end
    pipeline.close()
    settlers = [thread for thread in threads if thread.name.startswith("settle")]
    assert settlers
    eventually(lambda: not any(thread.is_alive() for thread in settlers), "the end of every settler")


def pings_metered(world: World) -> int:
    with world.services.database.reading() as tx:
        return sum(meter.pings for meter in tx.meters.listed())


class _Counted(SecretStore):
    """Counts the references that are looked up."""

    looked_up = 0

    def get(self, ref: str) -> str | None:
        self.looked_up += 1
        return super().get(ref)


def test_all_keys_of_a_provider_are_looked_up_by_claims_every_few_seconds_at_most() -> None:
    environ = {f"KEY_{n}": f"secret-{n}" for n in range(500)}
    refs = [f"env:{name}" for name in environ]
    secrets, rings = _Counted(environ), KeyRings()
    ring = rings.of("alpha", refs, secrets, START)
    assert len(ring.held) == 500
    del environ["KEY_7"]
    assert rings.of("alpha", refs, secrets, START + KEPT_FOR / 2) is ring
    assert secrets.looked_up == 500
    assert rings.of("alpha", refs, secrets, START + KEPT_FOR).lacking == {"env:KEY_7"}
    assert rings.of("alpha", refs, secrets).lacking == {"env:KEY_7"}, (
        "asked without a time: looked up at once"
    )
    assert rings.of("alpha", refs, secrets, START - timedelta(hours=1)).lacking, "the clock was set back"


def test_a_ping_looks_up_its_own_key_alone_and_once(world: World) -> None:
    session_id = world.run_session("moral")
    [placement] = world.placements(session_id)
    assert placement.exclusive
    secrets = _Counted(world.secrets)
    object.__setattr__(world.services, "secrets", secrets)
    found = world.services.secret_of(placement)
    assert found is not None
    assert (found.ref, secrets.looked_up) == (placement.credential, 1)
