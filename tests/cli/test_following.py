"""A follower of the events shows each once, in their order, also after a restart behind the last one shown."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from orchestrator.cli.shared.following import GIVE_UP_AFTER, SETTLED_AFTER, Follower
from orchestrator.store.queries.outbox import WaitingEvent
from tests.cli.conftest import Cli
from tests.rules.builders import HOUR, SECOND, T0
from tests.world import World

ORCHESTRATOR = [sys.executable, "-m", "orchestrator"]


def event(seq: int, time: datetime = T0) -> WaitingEvent:
    return WaitingEvent(seq=seq, id=str(seq), type="example", subject="a", time=time, data={})


def ready(follower: Follower, seqs: Sequence[int], now: datetime = T0) -> list[int]:
    found = [event(seq) for seq in seqs if seq > follower.after]
    return [one.seq for one in follower.ready(found, now)]


def test_an_event_waits_for_an_earlier_place_that_may_still_be_filled() -> None:
    follower = Follower(6)
    assert ready(follower, [7, 9, 10]) == [7]
    assert ready(follower, [7, 9, 10], T0 + SECOND) == []
    assert ready(follower, [7, 8, 9, 10], T0 + 2 * SECOND) == [8, 9, 10]
    assert follower.after == 10


def test_a_place_that_stays_empty_was_rolled_back() -> None:
    follower = Follower(1)
    assert ready(follower, [3]) == []
    assert ready(follower, [3], T0 + GIVE_UP_AFTER) == []
    assert ready(follower, [3, 5], T0 + GIVE_UP_AFTER + timedelta(microseconds=1)) == [3]
    assert ready(follower, [5], T0 + GIVE_UP_AFTER + SECOND) == [], "each gap has its own time"


def test_old_events_are_shown_at_once() -> None:
    assert ready(Follower(1), [3, 10**9], T0 + SETTLED_AFTER + SECOND) == [3, 10**9]


def test_where_it_begins_nothing_is_missing() -> None:
    assert ready(Follower(), [500]) == [500]


def test_one_subject_s_events_have_no_gaps_between_them() -> None:
    assert ready(Follower(1, has_gaps=False), [3, 7]) == [3, 7]


def kinds(found: Any) -> list[str]:
    return [one["type"].rpartition(".")[2] for one in found]


def test_events_are_shown_from_an_id_or_a_time_on(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    world.pass_time(HOUR)
    world.done("session.close", session_id=session_id)
    world.settle()
    latest = cli("events", "--json", "--subject", session_id).json
    assert kinds(latest) == ["created", "starting", "running", "stopping", "stopped"]
    behind = ("events", "--json", "--after", latest[1]["id"])
    assert kinds(cli(*behind, "--subject", session_id).json) == ["running", "stopping", "stopped"]
    assert kinds(cli(*behind, "--limit", "1").json) == ["running"]
    assert kinds(cli("events", "--json", "--since", latest[3]["time"]).json) == ["stopping", "stopped"]
    assert cli("events", "--json", "--since", "2999-01-01").json == []
    assert kinds(cli(*behind, "--since", latest[3]["time"]).json) == ["stopping", "stopped"]
    assert cli("events", "--json", "--limit", "0").json == []
    more = cli(*behind[:1], *behind[2:], "--limit", "1")
    assert more.err == f"there may be more: --after {latest[2]['id']}\n"


def test_what_cannot_be_followed_is_said(cli: Cli, world: World) -> None:
    unknown = cli("events", "--after", "nothing")
    assert (unknown.code, unknown.err) == (
        3,
        "event nothing is unknown or no longer kept: begin with --since\n",
    )
    assert "1h30m" in cli("events", "--since", "yesterday").err
    both = cli("events", "--follow", "--since", "1h", "--limit", "5")
    assert (both.code, "leave --limit out" in both.err) == (2, True)


def followed(*options: str) -> subprocess.Popen[str]:
    follow = [*ORCHESTRATOR, "events", "--follow", "--json", *options]
    return subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_follower_that_is_restarted_shows_every_event_once(cli: Cli, world: World) -> None:
    world.create_session(session_id="before")
    shown: list[dict[str, Any]] = []
    stop = threading.Event()

    def works() -> None:
        n = 0
        while not stop.wait(0.01):
            world.create_session(session_id=f"s-{n}", start=False)
            world.done("session.delete", session_id=f"s-{n}")
            n += 1

    busy = threading.Thread(target=works)
    busy.start()
    try:
        for n in range(3):
            resumes = ("--after", shown[-1]["id"]) if shown else ("--limit", "0")
            with followed(*resumes) as process:
                assert process.stdout is not None
                shown += [json.loads(process.stdout.readline()) for _ in range(10)]
                process.send_signal(signal.SIGINT if n else signal.SIGKILL)
    finally:
        stop.set()
        busy.join()
    with world.services.database.reading() as tx:
        kept = [one.id for one in tx.outbox.tail(limit=10_000)]
    first = kept.index(shown[0]["id"])
    assert [one["id"] for one in shown] == kept[first : first + 30]
    assert "before" not in {one["subject"] for one in shown}
