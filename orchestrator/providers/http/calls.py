"""What a client is asked for: one request with its deadline, and the options of all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.providers.port.driver import Auth, Secret
from orchestrator.rules.upstream.addresses import Reach


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientOptions:
    """The options of a client. One process has one set."""

    max_connections: int = 512
    connect_timeout: float = 5
    """Seconds for DNS, TCP and TLS, each address."""
    pool_timeout: float = 10
    """Seconds to wait for a free connection and to connect it."""
    keepalive_seconds: float = 15
    dns_cache_seconds: int = 10
    max_body_bytes: int = 1024 * 1024
    ca_file: str | None = None
    """Trust these authorities instead of the usual ones."""
    reach: Reach | None = None
    """Where URLs from other people may lead; None: all URLs are the operator's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request, with the deadline for all of it."""

    method: str
    url: str
    timeout_seconds: float
    auth: Auth = Auth.NONE
    secret: Secret | None = None
    params: Mapping[str, str] | None = None
    json: Any = None
    content: bytes | None = None
    """JSON that is encoded already."""
    repeats: bool = False
    """Calls that are alike share one request, which is prepared once and kept."""
    form: Mapping[str, str] | None = None
    files: Mapping[str, tuple[str, bytes, str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    most_bytes: int | None = None
    """Of the answer's body, for a list; None: as the client's options say."""
    fresh: bool = False
    """For lifecycle calls: on a connection of its own, as a stale one must not make the outcome unknown; and never
    repeated by the transport, as the first one may have had its effect."""
    enough: Callable[[bytes], bool] | None = None
    """Called with each chunk of the body, once: True if the rest need not be read; the connection is then dropped."""
