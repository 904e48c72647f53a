"""Stories in which alerts fire by their real causes: each names all that fire in it."""

import socket
from collections.abc import Callable

from orchestrator.flows.audit.audit_store import audit_store
from orchestrator.flows.operations.deliver_events import deliver_events, with_the_log
from orchestrator.flows.operations.deliver_webhooks import deliver_webhooks
from orchestrator.flows.operations.parked_messages import park
from orchestrator.flows.operations.watch_clock import watch_clock
from orchestrator.flows.operations.webhooks import put_webhook
from orchestrator.rules.installation.liveness import KINDS, SCHEDULER
from orchestrator.rules.installation.messages import ParkedMessage
from orchestrator.rules.values import Plan, Policy
from orchestrator.settings.configuration import WebhookConfiguration
from orchestrator.store.database import Database
from tests.observability.watching import Watch
from tests.providers.test_local_faults import Names
from tests.receiver import SECRET, receiver
from tests.world import HOSTS, HOUR, MINUTE

MANY = {"payg": Plan(name="payg", max_sessions=100, max_concurrent=100, max_nodes=2)}
#: Few pings, so that hours pass quickly.
CALM = Policy(ping_interval_seconds=120)
MakeWatch = Callable[..., Watch]
Story = Callable[[MakeWatch], Watch]
#: Story → the alerts that fire in it, and the only ones.
STORIES: dict[Story, tuple[str, ...]] = {}


def fires(*alerts: str) -> Callable[[Story], Story]:
    """Name the alerts that fire in a story, without their common prefix."""

    def keep(story: Story) -> Story:
        STORIES[story] = tuple(f"Orchestrator{alert}" for alert in alerts)
        return story

    return keep


@fires()
def all_is_well(make: MakeWatch) -> Watch:
    watch = make()
    session_id = watch.world.run_session("moral")
    watch.during(10 * MINUTE)
    watch.world.done("session.close", session_id=session_id)
    watch.during(10 * MINUTE)
    return watch


@fires("WorkersGone", "WorkOverdue")
def every_worker_is_dead(make: MakeWatch) -> Watch:
    watch = make()
    watch.world.run_session()
    watch.alive = {SCHEDULER}
    watch.during(8 * MINUTE, works=False)
    return watch


@fires("NotScraped")
def nothing_is_scraped(make: MakeWatch) -> Watch:
    watch = make()
    watch.scrapes = False
    watch.during(15 * MINUTE)
    return watch


@fires("DatabaseDown")
def the_database_is_away(make: MakeWatch) -> Watch:
    watch = make()
    watch.during(MINUTE)
    watch.database = Database("sqlite:////nonexistent/place.db")
    watch.during(3 * MINUTE)
    return watch


@fires("SchedulerGone")
def the_only_scheduler_is_killed(make: MakeWatch) -> Watch:
    watch = make()
    watch.during(MINUTE)
    watch.alive = set(KINDS)
    watch.during(12 * MINUTE)
    return watch


@fires("BrokerSilent")
def the_broker_accepts_nothing(make: MakeWatch) -> Watch:
    watch = make()
    watch.during(MINUTE)
    watch.broker_answers = False
    watch.during(12 * MINUTE)
    return watch


@fires("ProcessesDying")
def the_same_process_dies_again_and_again(make: MakeWatch) -> Watch:
    watch = make()
    for n in range(3):
        watch.report("ping", f"ping process {n}")
        watch.during(MINUTE)
    return watch


@fires("ClosesUnproven")
def a_provider_does_not_close(make: MakeWatch) -> Watch:
    watch = make()
    session_id = watch.world.run_session("moral")
    watch.world.server.fault("close_fails", operation="close")
    watch.world.done("session.close", session_id=session_id)
    watch.during(20 * MINUTE)
    return watch


@fires("PossibleOrphans")
def an_open_may_have_left_more_than_is_known(make: MakeWatch) -> Watch:
    watch = make()
    watch.world.server.fault("error_after_effect", operation="open", times=1)
    watch.world.create_session("moral", stop={"max_duration_seconds": 600})
    watch.during(45 * MINUTE)
    return watch


@fires("ProviderBraked", "ManyDeaths")
def a_platform_dies_with_all_its_sessions(make: MakeWatch) -> Watch:
    watch = make(plans=MANY, policy=Policy(brake_max_seconds=300))
    for _ in range(5):
        watch.world.run_session("llama")
    watch.world.run_session("moral")
    watch.each_step = lambda: deliver_events(watch.world.services, with_the_log(None))
    watch.during(MINUTE)
    watch.world.server.fault("dead", operation="chat", upstream="alpha")
    watch.during(15 * MINUTE)
    return watch


@fires("CredentialRefused")
def a_key_is_refused(make: MakeWatch) -> Watch:
    watch = make()
    watch.world.run_session("llama")
    watch.world.server.fault("unauthorized", upstream="alpha")
    watch.during(5 * MINUTE)
    return watch


@fires("PlatformOutOfFunds")
def our_account_at_a_platform_is_empty(make: MakeWatch) -> Watch:
    watch = make()
    watch.world.run_session("llama")
    watch.world.server.fault("out_of_balance", upstream="alpha")
    watch.during(3 * MINUTE)
    return watch


@fires("ProviderMisconfigured")
def a_model_has_another_name_there(make: MakeWatch) -> Watch:
    watch = make()
    watch.world.run_session("llama")
    watch.world.server.fault("status", status=422, upstream="alpha")
    watch.during(5 * MINUTE)
    return watch


@fires("NetworkDown")
def every_provider_is_silent_at_once(make: MakeWatch) -> Watch:
    watch = make()
    watch.world.run_session("llama")
    watch.world.run_session("moral")
    watch.during(MINUTE)
    for upstream in ("alpha", "morph"):
        watch.world.server.fault("dead", operation="chat", upstream=upstream)
    watch.during(5 * MINUTE)
    return watch


@fires("LocalFaults")
def the_resolver_of_the_machine_is_down(make: MakeWatch) -> Watch:
    names = Names(set(HOSTS.values()))
    watch = make(resolver=names)
    watch.world.run_session("llama")
    names.known, names.error = set(), socket.EAI_NONAME
    watch.during(4 * MINUTE)
    return watch


@fires("AuditViolated", "AuditStopped")
def a_balance_is_changed_in_the_database_and_later_the_audit_stops(make: MakeWatch) -> Watch:
    watch = make()
    with watch.world.services.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET balance = balance + 1")
    watch.each_step = lambda: audit_store(watch.world.services)
    watch.during(6 * MINUTE)
    watch.each_step = lambda: None
    watch.during(12 * MINUTE)
    return watch


@fires("ClockJumped")
def the_clock_of_the_database_goes_an_hour_ahead(make: MakeWatch) -> Watch:
    watch = make(checks_time=True, policy=CALM)
    watch.world.run_session()
    watch.during(MINUTE)
    watch.world.clock.store_is_ahead = HOUR
    watch.each_step = lambda: watch_clock(watch.world.services)
    watch.during(2 * MINUTE)
    return watch


@fires("MachineClockOff")
def the_clock_of_a_worker_is_off(make: MakeWatch) -> Watch:
    watch = make()
    watch.machine_is_ahead = -90.0
    watch.during(7 * MINUTE)
    return watch


@fires("MessagesParked")
def a_message_cannot_be_read(make: MakeWatch) -> Watch:
    watch = make()
    broken = ParkedMessage(
        id="one",
        parked_at=watch.world.clock.now,
        queue="jobs",
        reason="the body is not base64",
        task=None,
        task_id=None,
        size=7,
        head="text(7)",
        kept_as="1-1",
    )
    watch.world.services.database.transact(lambda tx: park(tx, [broken]))
    watch.during(MINUTE)
    return watch


@fires("WebhookLate", "WebhookGaveUp")
def a_receiver_refuses_every_event_for_a_day(make: MakeWatch) -> Watch:
    watch = make(step=30 * MINUTE)
    world = watch.world
    world.secrets |= {"HOOK": SECRET}
    with receiver() as shop:
        shop.answer = lambda _event: 500
        given = WebhookConfiguration(url=shop.url, secret_refs=("env:HOOK",))
        put_webhook(world.services.database, "shop", given, active=True)
        world.done("account.credit", account_id="acme", amount="1.00", currency="USD", key="one")
        watch.each_step = lambda: deliver_webhooks(world.services, world.webhooks, waits=True)
        watch.during(26 * HOUR)
    return watch


@fires("RetentionLate")
def nothing_is_cleaned_up_for_a_month(make: MakeWatch) -> Watch:
    world = make().world
    world.jump(33 * 24 * HOUR)
    watch = Watch(world, step=HOUR)
    watch.during(3 * HOUR)
    return watch
