"""`session close --where`: first what it would close, then exactly that."""

import json
from datetime import UTC, datetime

import pytest

from orchestrator.cli.commands import close_many
from tests.cli.conftest import Cli
from tests.world import HOUR, MINUTE, World

pytestmark = [
    pytest.mark.slow,
    # celery's result store calls deprecated parts of redis-py; as an error that would end the worker in our process
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]

#: The commands' clock is that of this machine, and the small world's is moved to it.
WHERE = ("session", "close", "--where", "provider=alpha and idle>30m")


def test_what_a_dry_run_showed_is_closed_and_nothing_else(cli: Cli, worker: World) -> None:
    worker.clock.now = datetime.now(UTC) - HOUR
    worker.open_account("beta", "contract")
    used = worker.run_session(account_id="beta")
    idle = [worker.run_session(account_id="beta") for _ in range(2)]
    worker.jump(HOUR)
    worker.done("session.record_interactions", batch=[{"session_id": used, "count": 1}])
    shown = cli(*WHERE, "--dry-run", "--operator", "--reason", "left over")
    assert shown.code == 0
    assert "2 sessions" in shown.out
    assert "beta" in shown.out
    plan = shown.out.splitlines()[-1].strip()
    found = cli(*WHERE, "--dry-run", "--operator", "--reason", "left over", "--json").json
    assert (found["count"], found["cost"], found["burn_per_hour"]) == (2, {"USD": "2.44"}, {"USD": "2.40"})
    assert worker.session(idle[0]).stopped_at is None
    other = cli(*WHERE, "--plan", plan)
    assert (
        other.code,
        "error plan_changed: nothing was closed: the plan belongs to another request" in other.err,
    ) == (1, True)
    done = cli(*WHERE, "--plan", plan, "--operator", "--reason", "left over")
    assert (done.code, "2 of 2 sessions are being closed" in done.out) == (0, True), done.err
    assert {worker.session(one).stop_reason for one in idle} == {"operator"}
    assert worker.session(idle[0]).stop_detail == "left over"
    assert worker.session(used).stopped_at is None
    assert "nothing left to close" in cli(*WHERE, "--plan", plan, "--operator", "--reason", "left over").out
    again = cli(*WHERE, "--plan", plan, "--operator", "--reason", "left over", "--json").json
    assert again == {"count": 0, "closed": 0, "refused": []}


def test_a_set_that_has_grown_is_refused_and_one_that_grew_idle_since_is_no_part_of_it(
    cli: Cli, worker: World
) -> None:
    worker.clock.now = datetime.now(UTC)
    worker.open_account("beta", "contract")
    command = ("session", "close", "--where", "provider=alpha and age>=0s")
    first = worker.run_session(account_id="beta")
    plan = cli(*command, "--dry-run", "--json").json["plan"]
    second = worker.create_session(account_id="beta")  # at the same instant
    grown = cli(*command, "--plan", plan)
    assert (grown.code, "not in the plan: 1" in grown.err) == (1, True)
    worker.done("session.close", session_id=second)
    worker.jump(30 * MINUTE)
    later = worker.run_session(account_id="beta")
    assert cli(*command, "--plan", plan).code == 0, "it was created after the dry run"
    assert worker.session(first).stop_reason == "user"
    assert worker.session(later).stopped_at is None


def test_a_run_that_is_killed_goes_on_where_it_ended(
    cli: Cli, worker: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.open_account("beta", "contract")
    ids = {worker.run_session(account_id="beta") for _ in range(4)}
    command = ("session", "close", "--where", "account=beta")
    plan = cli(*command, "--dry-run", "--json").json["plan"]
    monkeypatch.setattr(close_many, "_AT_ONCE", 1)
    refusal, calls = close_many._refusal, []

    def killed_at_the_third(*given: object) -> object:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return refusal(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(close_many, "_refusal", killed_at_the_third)
    assert cli(*command, "--plan", plan).code != 0
    left = sum(worker.session(one).stopped_at is None for one in ids)
    assert left == 1, "three were sent"
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a session by its ID, or many by --where"),
        (("--dry-run",), "need --where"),
        (("--where", "provider=gw"), "needs --dry-run first"),
        (("--where", "provider=gw", "--dry-run", "--plan", "x"), "needs --dry-run first"),
        (("some-id", "--where", "provider=gw", "--dry-run"), "leave out ID"),
        (("--where", "provider=gw", "--force", "--reason", "x", "--dry-run"), "leave out --force"),
        (("--where", "provider=gw", "--plan", "x", "--no-wait"), "leave out --no-wait"),
        (
            ("--where", "providr=gw", "--dry-run"),
            "at character 1: 'providr' is not a field; did you mean provider?",
        ),
    ],
)
def test_wrong_usage_is_named(cli: Cli, world: World, arguments: tuple[str, ...], said: str) -> None:
    answer = cli("session", "close", *arguments)
    assert (answer.code, said in " ".join(answer.err.split())) == (2, True), answer.err


def test_a_plan_that_is_none_is_refused(cli: Cli, world: World) -> None:
    answer = cli(*WHERE, "--plan", "nonsense")
    assert (answer.code, "it is not the plan of a dry run" in answer.err) == (1, True)


def test_programs_are_told_that_a_plan_has_changed(cli: Cli, world: World) -> None:
    answer = cli(*WHERE, "--plan", "nonsense", "--json")
    assert (answer.code, answer.out) == (1, "")
    error = json.loads(answer.err)
    assert (error["code"], error["message"].startswith("nothing was closed")) == ("plan_changed", True)


def test_closes_without_a_worker_time_out(
    cli: Cli, world: World, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.open_account("beta", "contract")
    session_id = world.run_session(account_id="beta")
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", valkey_url)
    command = ("session", "close", "--where", "account=beta")
    plan = cli(*command, "--dry-run", "--json").json["plan"]
    answer = cli(*command, "--plan", plan, "--timeout", "0.2", "--json")
    error = json.loads(answer.err)
    assert (answer.code, error["code"], error["details"]["session_id"]) == (4, "timed_out", session_id)


def test_nothing_fits(cli: Cli, world: World) -> None:
    assert (
        "0 sessions" in cli("session", "close", "--where", "state=queued and state=running", "--dry-run").out
    )


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("provider=gw", "provider gw is unknown"),
        ("account=nobody and model=lla", "account nobody is unknown"),
        ("account=nobody and model=lla", "model lla is unknown: did you mean llama?"),
    ],
)
def test_a_mistyped_name_that_finds_nothing_is_named(cli: Cli, world: World, where: str, said: str) -> None:
    answer = cli("session", "close", "--where", where, "--dry-run")
    assert (answer.code, "0 sessions" in answer.out) == (0, True)
    assert said in " ".join(answer.err.split())


def test_names_that_are_known_are_not_named(cli: Cli, world: World) -> None:
    assert cli("session", "close", "--where", "provider=alpha and account=acme", "--dry-run").err == ""
