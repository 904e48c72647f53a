"""The environment, prefix `ORCHESTRATOR_`: two URLs, a file's name and how to be observed."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.settings import urls
from orchestrator.settings.configuration import Configuration
from orchestrator.settings.faults import ConfigurationError, Fault
from orchestrator.settings.sockets import private_socket, socket_url

PREFIX = "ORCHESTRATOR_"
#: Of the tests, and what Kubernetes sets by itself for services with names like ours.
_NOT_OURS = re.compile(
    r"ORCHESTRATOR_(TEST_.*|PORT|(.*_)?SERVICE_(HOST|PORT(_.*)?)|(.*_)?PORT_[0-9]+_(TCP|UDP|SCTP)(_.*)?)"
)

_REMEDIES = {
    "log": 'must be "console" or "json"',
    "metrics_port": 'must be a port between 1 and 65535, or "off"',
}


def _checked_by(check: Callable[[str], str]) -> AfterValidator:
    """Pass on the sentence of `check`, without the value: it may hold a password."""

    def checked(url: str) -> str:
        try:
            return check(url)
        except ValueError as error:
            raise PydanticCustomError("url", "{sentence}", {"sentence": str(error)}) from None

    return AfterValidator(checked)


def _port(value: object) -> object:
    return None if value == "off" else value


class Settings(BaseSettings):
    """Every variable with its default; an empty one counts as not set."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    database_url: Annotated[str, _checked_by(urls.database_url)] = Field(
        "sqlite:///orchestrator.db", repr=False
    )
    data_dir: Path = Path(".orchestrator")
    """Of the private Valkey: its socket and its append-only file."""
    broker_url: Annotated[str, _checked_by(urls.broker_url)] = Field("", repr=False)
    """Empty only until derived: the private Valkey of `data_dir`."""
    result_url: Annotated[str, _checked_by(urls.result_url)] = Field("", repr=False)
    """Empty only until derived from the broker."""
    sentinel_master: str | None = None
    """The name under which Sentinel knows the master."""
    config: Path = Path("orchestrator.toml")
    log: Literal["console", "json"] = "console"
    metrics_port: Annotated[Annotated[int, Field(ge=1, le=65535)] | None, BeforeValidator(_port)] = None
    metrics_host: str = "127.0.0.1"
    fingerprint_key: SecretStr | None = None
    """Keys the fingerprints of secrets that the database keeps."""

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Fill in both URLs, so that they are set, and the same, in every process."""
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
            raise PydanticCustomError("sentinel_master", "must name the master that sentinel:// is asked for")
        return self

    @property
    def config_is_explicit(self) -> bool:
        """A file that was asked for must exist; the default one need not."""
        return "config" in self.model_fields_set

    @property
    def private_socket(self) -> Path | None:
        """Where `orchestrator up` starts a Valkey; None: the broker is not ours."""
        if urls.scheme_of(self.broker_url) != "redis+socket":
            return None
        path = private_socket(self.data_dir)
        return path if self.broker_url == socket_url(path) else None


def load_settings() -> Settings:
    """Read the environment. Raises ConfigurationError with every fault, named by its variable."""
    try:
        return Settings()
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
    raise ConfigurationError([_fault(detail) for detail in details])


def unknown_variables(configuration: Configuration, environ: Mapping[str, str] = os.environ) -> list[Fault]:
    """Return variables with our prefix that nothing reads: most likely misspelt. Their values are not shown.

    One that the configuration refers to is a secret, whatever its name."""
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    patterns = list(_references(configuration))
    return [
        Fault(name, f"unknown variable, it has no effect{_nearest(name)}")
        for name in sorted(environ)
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and not _NOT_OURS.fullmatch(name.upper())
        and not any(fnmatchcase(f"env:{name}", pattern) for pattern in patterns)
    ]


def _nearest(name: str) -> str:
    """Return a suggestion, compared by what follows the prefix that all have in common."""
    near = get_close_matches(
        name.upper().removeprefix(PREFIX).lower(), Settings.model_fields, n=1, cutoff=0.7
    )
    return f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""


def _references(configuration: Configuration) -> Iterator[str]:
    for provider in configuration.providers.values():
        yield from provider.secret_refs
    yield from (rule.secret_ref for rule in configuration.attach_allowed)


def _private_broker(data_dir: object) -> str:
    try:
        return socket_url(private_socket(Path(str(data_dir))))
    except ValueError as error:
        raise PydanticCustomError("data_dir", "{sentence}", {"sentence": str(error)}) from None


def _result_of(broker: str) -> str:
    """Return the result URL that follows from the broker's. A broker that is refused must not cause a second fault
    here."""
    try:
        return urls.derived_result_url(urls.broker_url(broker))
    except ValueError:
        return "rpc://"


def _fault(detail: ErrorDetails) -> Fault:
    field = str(detail["loc"][0]) if detail["loc"] else detail["type"]
    return Fault(f"{PREFIX}{field.upper()}", _REMEDIES.get(field, detail["msg"]))
