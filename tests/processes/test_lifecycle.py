"""The whole life of sessions over real processes, as other services and the upstream platforms see it."""

import json
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from redis import Redis

from tests.processes.platform import Platform, morpheus, openai
from tests.upstreams import KIND
from tests.waiting import eventually

PROCFILE = Path(__file__).parents[2] / "Procfile"
#: Another service: it has Celery, two URLs and the names of the contract.
SERVICE = """
import json, sys
from celery import Celery

def ask(jobs, app):
    sent = [app.send_task(name, kwargs=kwargs, queue="orchestrator.jobs", task_id=task_id)
            for task_id, name, kwargs in jobs]
    return [result.get(timeout=60) for result in sent]

app = Celery(broker=sys.argv[1], backend=sys.argv[1])
print(json.dumps([ask(batch, app) for batch in json.load(sys.stdin)]))
assert not any(name.partition(".")[0] == "orchestrator" for name in sys.modules)
"""

Job = tuple[str, str, dict[str, Any]]


def ask_as_another_service(platform: Platform, *batches: list[Job]) -> list[dict[str, Any]]:
    """Return outcomes of jobs, in order; a batch is sent when the one before is done."""
    broker = platform.env["ORCHESTRATOR_BROKER_URL"]
    done = subprocess.run(
        [sys.executable, "-c", SERVICE, broker],
        input=json.dumps(batches),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=platform.directory,
    )
    assert done.returncode == 0, done.stderr
    return [outcome for batch in json.loads(done.stdout) for outcome in batch]


def start_procfile(platform: Platform, copies: int) -> None:
    """Start every line of the Procfile, this many times."""
    for line in PROCFILE.read_text().splitlines():
        name, _, command = line.partition(":")
        for n in range(copies):
            platform.run(shlex.split(command), name=f"{name}-{n + 1}")


def create(session_id: str, model_id: str, **kwargs: Any) -> Job:
    return job(
        "session.create",
        session_id=session_id,
        name=session_id,
        account_id="acme",
        model_id=model_id,
        **kwargs,
    )


def job(name: str, /, **kwargs: Any) -> Job:
    """Send a job with a task id that is made of its contents, so that the same job is the same task."""
    return f"{name}-{kwargs.get('session_id') or kwargs.get('id')}", f"orchestrator.{name}", kwargs


def test_sessions_live_and_end_over_two_workers_and_two_schedulers(platform: Platform) -> None:
    simulator = platform.simulate(alpha=openai("sk-alpha"), morph=morpheus("sk-m1", "sk-m2"))
    platform.configure()
    start_procfile(platform, copies=2)
    short = {"stop": {"max_duration_seconds": 3}}
    outcomes = ask_as_another_service(
        platform,
        [job("account.put", account_id="acme", plan="contract", currency="USD")],
        [
            job("account.credit", account_id="acme", amount="50", currency="USD", key="opening"),
            job("model.put", id="llama", provider="alpha", provider_model_id="llama-3", **KIND),
            job("model.put", id="moral", provider="morph", provider_model_id="moral-1", **KIND),
        ],
        [
            create("llama-short", "llama", **short),
            create("llama-long", "llama"),
            create("moral-short", "moral", **short),
            create("moral-long", "moral"),
        ],
        [
            create("moral-third", "moral", on_quota="queue", **short),
        ],
    )
    assert [outcome["error"] for outcome in outcomes if not outcome["ok"]] == []
    third = outcomes[-1]["result"]
    assert third["state"] == "queued"

    platform.until_running("llama-short", "llama-long", "moral-short", "moral-long")
    platform.until_over("llama-short", "moral-short")
    platform.until_running("moral-third")
    repeated, closed, closed_too = ask_as_another_service(
        platform,
        [
            create("moral-third", "moral", on_quota="queue", **short),
            job("session.close", session_id="llama-long"),
            job("session.close", session_id="moral-long"),
        ],
    )
    assert repeated["result"] == third
    assert closed["ok"]
    assert closed_too["ok"]
    platform.until_over("llama-long", "moral-long", "moral-third")

    reasons = {session.id: session.stop_reason for session in platform.sessions()}
    assert reasons == {
        "llama-short": "max_duration",
        "moral-short": "max_duration",
        "moral-third": "max_duration",
        "llama-long": "user",
        "moral-long": "user",
    }
    report = simulator.get("report")
    assert report["most_active_per_key"]["morph"] == {"sk-m1": 1, "sk-m2": 1}
    assert (report["opens"], report["open_now"], report["leaked"]) == (3, 0, 0)
    assert report["closes"] == 3
    assert report["late_pings"] == []
    assert_pinged_on_their_beat(platform)
    assert_events_in_order(platform)


def assert_pinged_on_their_beat(platform: Platform) -> None:
    """Check that each gateway session was pinged repeatedly, and no two of its pings came closer than half an
    interval."""
    for session in platform.simulator.get("sessions"):
        began = [
            call["began_at"] for call in platform.simulator.calls(operation="chat", session=session["id"])
        ]
        assert len(began) >= 3, f"{session['id']} was pinged {len(began)} times"
        assert min(later - earlier for earlier, later in pairwise(began[1:])) > 0.2


def assert_events_in_order(platform: Platform) -> None:
    """Check that every session's events are in the stream, in the order in which they happened."""
    expected = ["created", "starting", "running", "stopping", "stopped"]
    with Redis.from_url(platform.env["ORCHESTRATOR_BROKER_URL"], decode_responses=True) as redis:

        def delivered() -> dict[str, list[str]]:
            reported: dict[str, list[str]] = {}
            for _, fields in redis.xrange("orchestrator:events"):
                event = json.loads(fields["event"])
                assert event["specversion"] == "1.0"
                reported.setdefault(event["subject"], []).append(event["type"].rpartition(".")[2])
            return reported

        eventually(
            lambda: sum(kinds[-1:] == ["stopped"] for kinds in delivered().values()) == 5, "all events"
        )
        reported = delivered()
    popped = reported.pop("acme")
    assert popped == ["credited"]
    popped = reported.pop("moral-third")
    assert popped == ["created", "queued", *expected[1:]]
    assert reported == dict.fromkeys(["llama-short", "llama-long", "moral-short", "moral-long"], expected)
