"""Where requests to URLs of other people may go. This is checked before they are sent, and again at every connect, for
each address that the host's name resolves to.

A name that was harmless when the job came may lead elsewhere now."""

import socket
from urllib.parse import urlsplit

import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

from orchestrator.providers.http.local_faults import causes
from orchestrator.providers.http.name_threads import NameThreads
from orchestrator.providers.port.errors import NotSent
from orchestrator.rules.upstream.addresses import Reach, hides_an_address, parsed


class AddressRefused(NotSent):
    """The host may not be reached from here; nothing was sent."""


class RefusedByResolver(OSError):
    """The same refusal, raised inside the transport."""


class CheckedResolver(AbstractResolver):
    """A resolver that leaves out the addresses that `reach` does not allow."""

    def __init__(self, reach: Reach, resolver: AbstractResolver | None = None) -> None:
        self._reach = reach
        self._resolver = resolver or NameThreads()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses that are allowed. Raises RefusedByResolver if none is left."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [result for result in found if self._reach.allows(host, result["host"])]
        if found and not allowed:
            raise RefusedByResolver(f"{host} leads to an address that [attach] does not allow")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def check_url(reach: Reach, url: str) -> None:
    """Check hosts that are addresses, since these need no resolver. Raises AddressRefused."""
    try:
        parts = urlsplit(url)
        written = parts.hostname or ""
        sent = httpx.URL(url).raw_host.decode("ascii")  # a full-width dot is a dot by then
    except (ValueError, httpx.InvalidURL):
        raise AddressRefused("the endpoint's URL cannot be read") from None
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        raise AddressRefused("the endpoint must begin with http:// or https:// and must not contain a user")
    for host in (written, sent):
        if hides_an_address(host) or (parsed(host) is not None and not reach.allows(host, host)):
            raise AddressRefused(f"{host} is an address that [attach] does not allow")


def refusal_in(error: BaseException | None) -> RefusedByResolver | None:
    """Return the resolver's refusal, however deep the transport has wrapped it."""
    return next((cause for cause in causes(error) if isinstance(cause, RefusedByResolver)), None)
