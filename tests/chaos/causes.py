"""The real cause of each alert, as a run of chaos brings it about after its faults, and how it ends.

Causes of one stage continue beside each other, until every alert of the stage has fired; those of the first until the
end. What takes hours or days is had by moving times in rows back."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import IntEnum

from tests.chaos.scene import ACCOUNT, UNTOUCHED, Scene
from tests.waiting import eventually

#: Seconds for which processes that ping stand still: longer than a ping's timeout, and than the second between two
#: looks of an event loop at its clock.
STILL = 3.2
#: Seconds until pings wait for an answer, and have not timed out.
UNDER_WAY = 1.2
#: Seconds until what they found is written.
NOTED = 0.3


class Stage(IntEnum):
    """What fails at the same time. A later stage takes away what an earlier one needs."""

    LASTING = 1
    """Faults of platforms, machines and rows, which continue through all stages."""
    UNHEARD = 2
    """Redis is down, no platform answers, one kind of work stands still."""
    UNSCHEDULED = 3
    DATABASE = 4
    UNSEEN = 5


Act = Callable[[Scene], Iterator[None]]


@dataclass(frozen=True)
class Cause:
    """What fires alerts. `act`: brings it about, and ends it as the `with` ends."""

    stage: Stage
    alerts: tuple[str, ...]
    act: Callable[[Scene], AbstractContextManager[None]]


CAUSES: list[Cause] = []
#: Alert → why no run of chaos can have its cause; its story in tests/observability is its proof.
NOT_IN_CHAOS: dict[str, str] = {}


def fires(stage: Stage, *alerts: str) -> Callable[[Act], Act]:
    """Name the alerts that a cause fires, without their common prefix."""

    def keep(act: Act) -> Act:
        names = tuple(f"Orchestrator{alert}" for alert in alerts)
        CAUSES.append(Cause(stage, names, contextmanager(act)))
        return act

    return keep


@fires(Stage.LASTING, "ManyDeaths")
def sessions_die(scene: Scene) -> Iterator[None]:
    """A platform forgets its sessions."""
    scene.fault("gone", "dying", operation="chat")
    yield


@fires(Stage.LASTING, "CredentialRefused", "PlatformOutOfFunds", "ProviderMisconfigured", "ProviderBraked")
def platforms_refuse(scene: Scene) -> Iterator[None]:
    """One refuses our key, one our account, one a model, and one answers only errors."""
    scene.fault("unauthorized", "refuses")
    scene.fault("out_of_balance", "poor")
    scene.fault("status", "renamed", params={"status": 422})
    scene.fault("error_before", "ill", operation="chat")
    yield
    scene.cluster.platform.simulator.clear_faults()
    scene.let_keys_be_tried()


@fires(Stage.LASTING, "ClosesUnproven")
def a_platform_does_not_close(scene: Scene) -> Iterator[None]:
    """A user closes a session, and its platform answers each close with an error."""
    scene.fault("close_fails", "keeps", operation="close")
    scene.cluster.platform.done("session.close", session_id=scene.sessions["keeps"][0])
    yield


@fires(Stage.LASTING, "PossibleOrphans")
def an_open_may_have_left_a_session(scene: Scene) -> Iterator[None]:
    """A gateway opens a session and answers with an error. It may continue for as long as was asked for."""
    scene.fault("error_after_effect", "doubtful", operation="open", times=1)
    session_id = scene.create("doubtful", seconds=30)
    yield
    scene.cluster.platform.job("session.close", session_id=session_id)  # so that it is not opened again
    scene.forget_orphans()


@fires(Stage.LASTING, "MachineClockOff")
def a_machines_clock_is_off(scene: Scene) -> Iterator[None]:
    """The clock of one worker's machine goes wrong."""
    clock = scene.monkey.clocks["worker-1"]
    clock.is_off(-90)
    yield
    clock.is_off(0)


@fires(Stage.LASTING, "MessagesParked")
def a_message_cannot_be_read(scene: Scene) -> Iterator[None]:
    """Another program writes into the queue of jobs; an operator drops what was parked."""
    scene.put_message(b"what is this?")
    yield
    scene.command("messages", "drop", "--all")


@fires(Stage.LASTING, "AuditViolated", "AuditStopped")
def a_balance_is_changed_in_the_database(scene: Scene) -> Iterator[None]:
    """The audit finds it. It does not run again while Redis is down."""
    change = "UPDATE accounts SET balance = balance + :by WHERE id = :id"
    scene.change(change, by=1, id=ACCOUNT)
    scene.wake("audit")
    eventually(lambda: scene.found("SELECT count(*) FROM audit_findings"), "the audit finds it")
    yield
    scene.change(change, by=-1, id=ACCOUNT)
    scene.wake("audit")


@fires(Stage.LASTING, "WebhookLate", "WebhookGaveUp")
def receivers_take_no_event(scene: Scene) -> Iterator[None]:
    """One hangs; one redirects, for a day. Then both are changed to a good one."""
    puts = {"late": "hangs", "given-up": "redirects"}
    for name, kind in puts.items():
        scene.put_webhook(name, kind)
    scene.cluster.platform.done("account.credit", account_id=ACCOUNT, amount="1", currency="USD", key="event")
    failed = "SELECT count(*) FROM webhook_deliveries WHERE webhook = 'given-up'"
    eventually(lambda: scene.found(failed), "a delivery fails")
    scene.change(
        "UPDATE webhook_deliveries SET since = since - interval '1 day', next_at = now() WHERE webhook = 'given-up'"
    )
    scene.change("UPDATE webhooks SET next_at = now() WHERE name = 'given-up'")
    yield
    for name in puts:
        scene.put_webhook(name, "good")
    scene.command("webhook", "replay", "given-up")
    scene.change("UPDATE webhook_deliveries SET next_at = now()")
    scene.change("UPDATE webhooks SET next_at = now()")


@fires(Stage.LASTING, "RetentionLate")
def an_outcome_is_kept_too_long(scene: Scene) -> Iterator[None]:
    """A job came 32 days ago. The hourly clean-up has not come yet; it is woken."""
    oldest = "SELECT task_id FROM inbox ORDER BY received_at LIMIT 1"
    scene.change(
        f"UPDATE inbox SET received_at = received_at - interval '32 days' WHERE task_id = ({oldest})"
    )
    yield
    scene.wake("outcomes")


@fires(Stage.LASTING, "ProcessesDying")
def processes_of_one_kind_die(scene: Scene) -> Iterator[None]:
    """Three are killed; ten minutes later it is forgotten."""
    victims = scene.processes_of("stop")
    _kill(victims)
    again = eventually(lambda: scene.processes_of("stop") - victims, "a process starts again")
    _kill(again)
    yield
    scene.forget_deaths()


def _kill(pids: set[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@fires(Stage.UNHEARD, "WorkersGone", "WorkOverdue")
def one_kind_of_work_stands_still(scene: Scene) -> Iterator[None]:
    """The processes that open hang; an open is due."""
    with scene.paused(scene.processes_of("open")):
        scene.create("llama", account_id=UNTOUCHED)
        yield


@fires(Stage.UNHEARD, "BrokerSilent")
def redis_is_down(scene: Scene) -> Iterator[None]:
    """Nothing accepts the wake-ups of the schedulers, which live."""
    scene.cluster.valkey.kill()
    yield
    scene.cluster.valkey.start()


@fires(Stage.UNHEARD, "NetworkDown", "LocalFaults")
def the_network_is_down_and_pings_stand_still(scene: Scene) -> Iterator[None]:
    """No platform answers any more, nor does the canary. The processes that ping stand still while pings wait."""
    scene.cluster.to_platforms.stall()
    eventually(lambda: _stands_still(scene), "a ping times out while its process stands still")
    yield
    scene.cluster.to_platforms.heal()
    scene.cluster.to_platforms.cut()


def _stands_still(scene: Scene) -> bool:
    """Let the processes that ping stand still for a while. Return whether pings timed out meanwhile."""
    time.sleep(UNDER_WAY)
    with scene.paused(scene.processes_of("ping")):
        time.sleep(STILL)
    time.sleep(NOTED)
    return bool(scene.found("SELECT count(*) FROM installation_alarms WHERE kind = 'local_fault'"))


@fires(Stage.UNSCHEDULED, "SchedulerGone", "ClockJumped")
def no_scheduler_runs(scene: Scene) -> Iterator[None]:
    """Both leave, and the clock of the database's host jumps by an hour."""
    leaving = scene.running("scheduler")
    for one in leaving:
        one.send_signal(signal.SIGTERM)
    scene.cluster.postgres.clock.is_off(3600)
    yield
    scene.cluster.postgres.clock.is_off(0)
    scene.monkey.heal()


@fires(Stage.DATABASE, "DatabaseDown")
def the_database_is_down(scene: Scene) -> Iterator[None]:
    """PostgreSQL is stopped under the processes."""
    scene.cluster.postgres.stop("fast")
    yield
    scene.cluster.postgres.start()


@fires(Stage.UNSEEN, "NotScraped")
def no_process_answers(scene: Scene) -> Iterator[None]:
    """All stand still."""
    trees = [one.tree() for kind in ("worker", "scheduler") for one in scene.running(kind)]
    with scene.paused(set[int]().union(*trees)):
        yield
