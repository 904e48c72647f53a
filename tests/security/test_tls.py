"""PostgreSQL and Redis over TLS, as in docs/deploying.md: a server that cannot prove its name is refused."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from celery import Celery
from celery.contrib.testing.worker import start_worker
from sqlalchemy import make_url

from orchestrator.client import JOBS_QUEUE
from orchestrator.client.sender import BrokerUnreachable, check_broker
from orchestrator.client.stream import connect
from orchestrator.settings import Settings
from orchestrator.store.database import Database, StoreUnavailable
from orchestrator.tasks.app import make_app
from tests.security.tls import Address, tls_proxy

NAME = "localhost"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """The authority that our processes trust."""
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def other_ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.fixture
def postgres_port(postgres_url: str, ca: trustme.CA) -> Iterator[int]:
    with tls_proxy(_postgres_address(postgres_url), ca, name=NAME, postgresql=True) as port:
        yield port


@pytest.fixture
def redis_port(valkey_url: str, ca: trustme.CA) -> Iterator[int]:
    parts = urlsplit(valkey_url)
    with tls_proxy((str(parts.hostname), int(parts.port or 0)), ca, name=NAME, postgresql=False) as port:
        yield port


def test_a_database_that_proves_its_name_is_used(
    postgres_url: str, postgres_port: int, ca_file: Path
) -> None:
    database = Database(_over_tls(postgres_url, NAME, postgres_port, ca_file))
    database.check()
    database.dispose()


@pytest.mark.parametrize("host", ["127.0.0.1", NAME])
def test_a_database_that_does_not_is_refused(
    postgres_url: str, postgres_port: int, ca_file: Path, other_ca_file: Path, host: str
) -> None:
    trusted = other_ca_file if host == NAME else ca_file
    database = Database(_over_tls(postgres_url, host, postgres_port, trusted))
    with pytest.raises(StoreUnavailable, match="certificate"):
        database.check()
    database.dispose()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # celery's own calls of redis-py
def test_jobs_outcomes_and_events_travel_over_tls(sqlite_url: str, redis_port: int, ca_file: Path) -> None:
    url = _rediss(redis_port, ca_file)
    config = ca_file.parent / "orchestrator.toml"
    config.touch()
    app, process = make_app(Settings(database_url=sqlite_url, broker_url=url, result_url=url, config=config))
    check_broker(url)
    with start_worker(app, pool="solo", perform_ping_check=False, queues=[JOBS_QUEUE]):
        assert _closes_nobody(app) == "unknown_session"
    process.close()
    stream = connect(url)
    assert stream is not None
    stream.send([{"type": "orchestrator.session.running", "id": "e"}])
    assert next(stream.follow("0"))["id"] == "e"


def test_a_broker_that_does_not_prove_its_name_is_refused(redis_port: int, other_ca_file: Path) -> None:
    with pytest.raises(BrokerUnreachable):
        check_broker(_rediss(redis_port, other_ca_file))


def test_a_broker_with_a_certificate_that_nothing_here_trusts_is_refused(redis_port: int) -> None:
    """Celery's own default trusts any certificate where the URL does not say how it is checked."""
    with pytest.raises(BrokerUnreachable):
        check_broker(f"rediss://{NAME}:{redis_port}/0")


def _closes_nobody(app: Celery) -> str:
    job = app.send_task("orchestrator.session.close", kwargs={"session_id": "nobody"}, queue=JOBS_QUEUE)
    code: str = job.get(timeout=30)["error"]["code"]
    return code


def _rediss(port: int, ca_file: Path) -> str:
    return f"rediss://{NAME}:{port}/0?ssl_cert_reqs=required&ssl_ca_certs={ca_file}"


def _over_tls(url: str, host: str, port: int, ca_file: Path) -> str:
    plain = make_url(url)
    safe = plain.set(host=host, port=port, query={})
    query = {"sslmode": "verify-full", "sslrootcert": str(ca_file), "gssencmode": "disable"}
    return safe.update_query_dict(query).render_as_string(hide_password=False)


def _postgres_address(url: str) -> Address:
    parts = make_url(url)
    directory = parts.query.get("host")
    if isinstance(directory, str) and directory.startswith("/"):
        return f"{directory}/.s.PGSQL.{parts.query.get('port') or parts.port or 5432}"
    return (str(parts.host), int(parts.port or 5432))
