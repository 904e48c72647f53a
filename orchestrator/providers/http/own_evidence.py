"""Decide, after a call that failed, whether this machine was at fault.

A call that failed because of a full file table, a dead resolver or a suspended process shows nothing of its
platform."""

import socket
import ssl

import aiohttp

from orchestrator.providers.http.clock import LoopWatch
from orchestrator.providers.http.local_faults import (
    NO_SUCH_NAME,
    is_tls_error,
    no_descriptor_is_free,
    plain_fault,
    resolver_error,
)
from orchestrator.providers.http.resolver import WatchedResolver
from orchestrator.rules.upstream.local_faults import LocalFault


class OwnFaults:
    """What one process knows of its own machine: its resolver, its loop, its connections, its trusted roots."""

    def __init__(
        self, max_connections: int, context: ssl.SSLContext | None, resolver: WatchedResolver | None = None
    ) -> None:
        self.resolver = resolver or WatchedResolver()
        self.watch = LoopWatch()
        self._max_connections = max_connections
        self._context = context

    async def fault_of(
        self, host: str, error: BaseException, *, begun: float, timeout_seconds: float, sent: bool
    ) -> LocalFault | None:
        """Return the fault of this machine that made a call fail; None if it may be the platform's.

        `sent`: a byte may have left. Then only a timeout can be this machine's fault, since any other error came from
        the network."""
        if isinstance(error, TimeoutError) or isinstance(error.__cause__, aiohttp.ServerTimeoutError):
            return await self._fault_of_timeout(host, begun, timeout_seconds)
        if sent:
            return None
        fault = plain_fault(error, one_family=self.resolver.has_one_family(host))
        if fault is not None:
            return fault
        if is_tls_error(error) and self._trusts_nobody():
            return LocalFault.CERTIFICATES
        number = resolver_error(error)
        return None if number is None else await self._fault_of_resolver(host, number)

    async def _fault_of_timeout(self, host: str, begun: float, timeout_seconds: float) -> LocalFault | None:
        if self.watch.stood_still(begun, timeout_seconds):
            return LocalFault.STALLED
        if self.watch.calls > self._max_connections:
            return LocalFault.QUEUE
        if self.resolver.was_silent(host, begun):
            return await self._fault_of_resolver(host, socket.EAI_AGAIN)
        return None

    async def _fault_of_resolver(self, host: str, number: int) -> LocalFault | None:
        """Return this machine's fault if a name has no answer. It is the platform's fault, and None, where other names
        have one."""
        if no_descriptor_is_free():
            return LocalFault.FILES
        others = await self.resolver.answers_for_others(host)
        if others is None and number in NO_SUCH_NAME:
            return None  # no other name is known: this name may have ended with its host
        return None if others else LocalFault.RESOLVER

    def _trusts_nobody(self) -> bool:
        return self._context is not None and self._context.cert_store_stats()["x509_ca"] == 0
