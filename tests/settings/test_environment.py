"""The environment: defaults, what follows from what, and messages that name the variable but no password."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.rules.installation.secret_texts import redacted_url
from orchestrator.settings import (
    AttachRule,
    Configuration,
    ConfigurationError,
    ProviderConfiguration,
    Settings,
    load_settings,
    unknown_variables,
)
from orchestrator.settings.sockets import private_socket, socket_url

DEPLOY = Path(__file__).parents[2] / "deploy"
#: A broker that speaks TLS, as it is used where the operator names the host alone.
CHECKED = "rediss://h/1?ssl_cert_reqs=required"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment without our variables, and a directory with a short name."""
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    directory = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(directory)
    return directory


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    return load_settings()


def faults(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        given(monkeypatch, **variables)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_without_variables_everything_has_its_default(bare: Path) -> None:
    settings = load_settings()
    assert settings.database_url == "sqlite:///orchestrator.db"
    assert settings.broker_url == f"redis+socket://{bare}/.orchestrator/valkey.sock"
    assert settings.result_url == settings.broker_url
    assert settings.private_socket == bare / ".orchestrator" / "valkey.sock"
    assert (settings.config, settings.config_is_explicit) == (Path("orchestrator.toml"), False)
    assert (settings.log, settings.metrics_port, settings.metrics_host) == ("console", None, "127.0.0.1")


def test_the_port_of_the_api_may_be_chosen_or_off(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    assert (settings.api_host, settings.api_port, settings.api_port_is_explicit) == ("127.0.0.1", 8800, False)
    chosen = given(monkeypatch, API_PORT="8801")
    assert (chosen.api_port, chosen.api_port_is_explicit) == (8801, True)
    assert given(monkeypatch, API_PORT="off").api_port is None
    assert given(monkeypatch, API_PORT="tcp://10.0.0.1:80").api_port == 8800, "Kubernetes names a service so"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, BROKER_URL="", METRICS_PORT="", CONFIG="") == load_settings()


def test_the_default_file_asked_for_by_name_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, CONFIG="orchestrator.toml").config_is_explicit


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d", id="the short name of PostgreSQL"),
        pytest.param("postgresql://h/d", "postgresql+psycopg://h/d", id="the long name of PostgreSQL"),
        pytest.param("postgresql+psycopg://h/d", "postgresql+psycopg://h/d", id="with its driver it stays"),
        pytest.param("sqlite:////var/lib/o.db", "sqlite:////var/lib/o.db", id="a file anywhere"),
    ],
)
def test_databases(monkeypatch: pytest.MonkeyPatch, url: str, expected: str) -> None:
    assert given(monkeypatch, DATABASE_URL=url).database_url == expected


@pytest.mark.parametrize(
    ("broker", "result"),
    [
        pytest.param("redis://h:6379/1", "redis://h:6379/1", id="Redis stores outcomes too"),
        pytest.param(CHECKED, CHECKED, id="so does Redis over TLS"),
        pytest.param("redis+socket:///run/v.sock", "redis+socket:///run/v.sock", id="and a socket"),
        pytest.param("sentinel://a:1;sentinel://b:1", "sentinel://a:1;sentinel://b:1", id="and sentinels"),
        pytest.param("amqp://u:p@h//", "rpc://", id="RabbitMQ answers the sender"),
    ],
)
def test_outcomes_go_where_the_broker_can_keep_them(
    monkeypatch: pytest.MonkeyPatch, broker: str, result: str
) -> None:
    settings = given(monkeypatch, BROKER_URL=broker, SENTINEL_MASTER="main")
    assert (settings.broker_url, settings.result_url, settings.private_socket) == (broker, result, None)


def test_certificates_of_the_broker_are_checked_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, BROKER_URL="rediss://h/1", RESULT_URL="rediss://h/2")
    assert (settings.broker_url, settings.result_url) == (CHECKED, CHECKED.replace("/1", "/2"))


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        pytest.param("METRICS_PORT", "70000", "a port between 1 and 65535", id="a port out of range"),
        pytest.param("METRICS_PORT", "http", "a port between 1 and 65535", id="a port that is no number"),
        pytest.param("API_PORT", "0", "a port between 1 and 65535", id="no port of the API"),
        pytest.param("LOG", "xml", '"console" or "json"', id="an unknown way of logging"),
        pytest.param(
            "DATABASE_URL", "mysql://u:hunter2@h/d", "must begin with sqlite:///", id="another database"
        ),
        pytest.param("DATABASE_URL", "sqlite://", "must begin with sqlite:///", id="a database in memory"),
        pytest.param(
            "DATABASE_URL", "sqlite:///:memory:", "must name a file", id="a database in memory, by name"
        ),
        pytest.param("DATABASE_URL", "postgresql://u:hunter2/x@h/d", "%2F", id="a password with a raw slash"),
        pytest.param("BROKER_URL", "memory://", "must begin with one of amqp://", id="a broker in memory"),
        pytest.param("BROKER_URL", "kafka://u:hunter2@h", "must begin with one of", id="an unknown broker"),
        pytest.param(
            "BROKER_URL", "redis://:hunter2@h:none/0", "no valid host and port", id="a port in words"
        ),
        pytest.param("BROKER_URL", "localhost", "must begin with one of", id="no URL at all"),
        pytest.param("BROKER_URL", "redis://:hunter2@h/ 0", "holds a blank", id="a blank inside"),
        pytest.param(
            "RESULT_URL", "amqp://u:hunter2@h", "must begin with one of", id="a store that cannot store"
        ),
        pytest.param("SENTINEL_MASTER", "", "must name the master", id="sentinel without a master"),
    ],
)
def test_wrong_values(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str) -> None:
    more = {"BROKER_URL": "sentinel://h:26379"} if variable == "SENTINEL_MASTER" else {}
    found = faults(monkeypatch, **{variable: value}, **more)
    assert list(found) == [f"ORCHESTRATOR_{variable}"]
    assert expected in found[f"ORCHESTRATOR_{variable}"]
    assert "hunter2" not in str(found)


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = faults(monkeypatch, METRICS_PORT="0", LOG="x", BROKER_URL="x://", DATABASE_URL="x://")
    assert set(found) == {
        f"ORCHESTRATOR_{name}" for name in ("METRICS_PORT", "LOG", "BROKER_URL", "DATABASE_URL")
    }


def test_settings_do_not_show_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, BROKER_URL="redis://:hunter2@h/0", FINGERPRINT_KEY="hunter2")
    assert "hunter2" not in repr(settings)


def test_a_path_too_long_for_a_socket_gets_a_short_one_that_every_process_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    temporary = tmp_path_factory.mktemp("t")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    settings = given(monkeypatch, DATA_DIR="d" * 120)
    path = settings.private_socket
    assert path is not None
    assert path == load_settings().private_socket
    assert len(str(path)) <= 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path != private_socket(Path("e" * 120))


def test_a_directory_with_a_blank_gets_a_short_socket_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("t")))
    path = given(monkeypatch, DATA_DIR="my data").private_socket
    assert path is not None
    assert " " not in str(path)


def test_a_short_directory_that_others_can_write_to_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    temporary = tmp_path_factory.mktemp("t")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    theirs = temporary / f"orchestrator-{os.getuid()}"
    theirs.mkdir()
    theirs.chmod(0o777)
    found = faults(monkeypatch, DATA_DIR="d" * 120)
    assert "not private to this user" in found["ORCHESTRATOR_DATA_DIR"]


def test_a_socket_in_a_directory_with_odd_letters_is_quoted() -> None:
    assert socket_url(Path("/a b/c;d?/v.sock")) == "redis+socket:///a%20b/c%3Bd%3F/v.sock"


def test_the_example_of_the_environment_lists_every_variable() -> None:
    listed = re.findall(r"^(ORCHESTRATOR_\w+)=(.*)$", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted(
        f"ORCHESTRATOR_{name.upper()}" for name in Settings.model_fields
    )


def test_the_example_of_the_environment_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = re.findall(r"^ORCHESTRATOR_(\w+)=(.*)$", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert given(monkeypatch, **dict(listed)) == load_settings()
    for name, _ in listed:
        monkeypatch.delenv(f"ORCHESTRATOR_{name}")
    without = load_settings()
    assert given(monkeypatch, **dict(listed)).model_dump() == without.model_dump()


REFERRING = Configuration(
    providers={
        "fpt": ProviderConfiguration(
            name="fpt",
            driver="fpt",
            base_url="",
            credentials=("env:ORCHESTRATOR_FPT_KEY",),
            retired_credentials=("env:ORCHESTRATOR_FPT_OLD",),
            options={"endpoint_secret_ref": "env:ORCHESTRATOR_FPT_ENDPOINT", "regions": ["*"]},
        )
    },
    attach_allowed=(AttachRule(secret_ref="env:ORCHESTRATOR_TOKEN_*", host="h"),),
)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        pytest.param(
            "METRIC_PORT", "; did you mean ORCHESTRATOR_METRICS_PORT?", id="a letter that is missing"
        ),
        pytest.param("DATABSE_URL", "; did you mean ORCHESTRATOR_DATABASE_URL?", id="another"),
        pytest.param("WHATEVER_IT_IS", "", id="like none"),
        pytest.param("FPT_KEY2", "", id="nobody's secret"),
    ],
)
def test_a_variable_that_nobody_reads_is_told_by_the_nearest_name_and_without_its_value(
    name: str, suggestion: str
) -> None:
    [fault] = unknown_variables(REFERRING, {f"ORCHESTRATOR_{name}": "hunter2", "PATH": "/bin"})
    assert str(fault) == f"ORCHESTRATOR_{name}: unknown variable, it has no effect{suggestion}"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("ORCHESTRATOR_LOG", id="a setting"),
        pytest.param("orchestrator_log", id="a setting in small letters"),
        pytest.param("ORCHESTRATOR_FPT_KEY", id="a credential"),
        pytest.param("ORCHESTRATOR_FPT_OLD", id="one that is retired"),
        pytest.param("ORCHESTRATOR_FPT_ENDPOINT", id="an endpoint's secret"),
        pytest.param("ORCHESTRATOR_TOKEN_7", id="what a job may name"),
        pytest.param("ORCHESTRATOR_TEST_POSTGRES_URL", id="of the tests"),
        pytest.param("ORCHESTRATOR_SERVICE_HOST", id="what Kubernetes sets for a service"),
        pytest.param("ORCHESTRATOR_WORKER_PORT_8000_TCP_ADDR", id="and for its ports"),
        pytest.param("ORCHESTRA", id="of somebody else"),
    ],
)
def test_a_variable_that_somebody_reads_is_not_told(name: str) -> None:
    assert unknown_variables(REFERRING, {name: "x"}) == []


def test_settings_need_neither_celery_nor_the_store() -> None:
    heavy = "('celery', 'kombu', 'sqlmodel', 'sqlalchemy', 'httpx', 'aiohttp')"
    code = f"import sys, orchestrator.settings; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_every_variable_of_the_example_is_known() -> None:
    names = re.findall(r"^(ORCHESTRATOR_\w+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE)
    assert len(names) > 5
    assert unknown_variables(Configuration(), dict.fromkeys(names, "")) == []


def test_several_hosts_are_written_as_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    query = "host=db1:5432&host=db2:5433&target_session_attrs=read-write"
    settings = Settings(database_url=f"postgresql://me:hunter2@/orchestrator?{query}")
    assert settings.database_url == f"postgresql+psycopg://me:hunter2@/orchestrator?{query}"
    assert redacted_url(settings.database_url) == f"postgresql+psycopg://me:***@/orchestrator?{query}"
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", "postgresql://me:hunter2@db1:5432,db2:5433/orchestrator")
    with pytest.raises(ConfigurationError, match="host=HOST1:PORT&host=HOST2:PORT") as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)
