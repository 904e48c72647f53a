"""The environment, prefix `ORCHESTRATOR_`: two URLs, the name of a file, and options of observation."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.settings import urls
from orchestrator.settings.faults import ConfigurationError, Fault
from orchestrator.settings.sockets import private_socket, socket_url
from orchestrator.validation.wording import checked_by, in_words, wrong

PREFIX = "ORCHESTRATOR_"

_REMEDIES = {
    "log": 'must be "console" or "json"',
    "metrics_port": 'must be a port between 1 and 65535, or "off"',
    "api_port": 'must be a port between 1 and 65535, or "off"',
    "console_read_only": 'must be "true" or "false"',
    "traces": 'must be "true" or "false"',
}


#: Where the HTTP API is served.
API_PORT = 8800


def _port(value: object) -> object:
    return None if value == "off" else value


def _api_port(value: object) -> object:
    """Return the port; Kubernetes sets a URL under this name where a service is called `orchestrator-api`."""
    return API_PORT if isinstance(value, str) and value.startswith("tcp://") else _port(value)


class Settings(BaseSettings):
    """Every variable with its default; an empty one counts as not set."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    database_url: Annotated[str, checked_by(urls.database_url)] = Field(
        "sqlite:///orchestrator.db", repr=False
    )
    data_dir: Path = Path(".orchestrator")
    """Of the private Valkey: its socket and its append-only file."""
    broker_url: Annotated[str, checked_by(urls.broker_url)] = Field("", repr=False)
    """Empty only until derived: the private Valkey of `data_dir`."""
    result_url: Annotated[str, checked_by(urls.result_url)] = Field("", repr=False)
    """Empty only until derived from the broker."""
    sentinel_master: str | None = None
    """The name under which Sentinel knows the master."""
    config: Path = Path("orchestrator.toml")
    log: Literal["console", "json"] = "console"
    metrics_port: Annotated[Annotated[int, Field(ge=1, le=65535)] | None, BeforeValidator(_port)] = None
    metrics_host: str = "127.0.0.1"
    traces: bool = False
    """Record traces with OpenTelemetry; its own variables, `OTEL_…`, say where they are sent to."""
    api_host: str = "127.0.0.1"
    api_port: Annotated[Annotated[int, Field(ge=1, le=65535)] | None, BeforeValidator(_api_port)] = API_PORT
    """None: `orchestrator up` serves no API."""
    api_forwarded_allow_ips: str = ""
    """Proxies before the API; the client's address is read from their headers."""
    console_read_only: bool = False
    """The console shows everything and changes nothing."""
    fingerprint_key: SecretStr | None = None
    """Keys the fingerprints of secrets that the database keeps."""

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Fill in both URLs, so that every process has the same ones."""
        broker = given.get("broker_url") or _private_broker(given.get("data_dir") or ".orchestrator")
        return {
            **given,
            "broker_url": broker,
            "result_url": given.get("result_url") or _result_of(str(broker)),
        }

    @model_validator(mode="after")
    def _sentinel_has_a_master(self) -> Self:
        speaks_sentinel = "sentinel" in {urls.scheme_of(self.broker_url), urls.scheme_of(self.result_url)}
        if speaks_sentinel and not self.sentinel_master:
            raise wrong("must name the master that sentinel:// is asked for", "sentinel_master")
        return self

    @property
    def config_is_explicit(self) -> bool:
        """Whether the file was named by the operator: then it must exist; the default one need not."""
        return "config" in self.model_fields_set

    @property
    def api_port_is_explicit(self) -> bool:
        """Whether the operator chose the port: then it must be free; the default one need not be."""
        return "api_port" in self.model_fields_set

    @property
    def private_socket(self) -> Path | None:
        """Where `orchestrator up` starts a Valkey; None if another broker is configured."""
        if urls.scheme_of(self.broker_url) != "redis+socket":
            return None
        path = private_socket(self.data_dir)
        return path if self.broker_url == socket_url(path) else None


def load_settings() -> Settings:
    """Read the environment. Raises ConfigurationError with every fault, named by its variable."""
    try:
        return Settings()
    except ValidationError as error:
        details = error.errors(include_url=False)
    raise ConfigurationError([_fault(detail) for detail in details])


def _private_broker(data_dir: object) -> str:
    try:
        return socket_url(private_socket(Path(str(data_dir))))
    except ValueError as error:
        raise wrong(str(error), "data_dir") from None


def _result_of(broker: str) -> str:
    """Return the default result URL for this broker. A wrong broker URL is reported as its own fault only, so return
    any valid URL for it."""
    try:
        return urls.derived_result_url(urls.broker_url(broker))
    except ValueError:
        return "rpc://"


def _fault(detail: ErrorDetails) -> Fault:
    field = str(detail["loc"][0]) if detail["loc"] else detail["type"]
    return Fault((f"{PREFIX}{field.upper()}",), _REMEDIES.get(field) or in_words(detail))
