"""The resolver of one process: the system's, and what is known of whether it answers.

A name that is not found is the provider's fault where other names are found, and this machine's where none is. So after
a failure names that were found before are looked up again, once for all calls that failed meanwhile.
"""

import asyncio
import socket
from collections import Counter, OrderedDict
from collections.abc import Collection
from pathlib import Path

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from orchestrator.providers.clock import monotonic
from orchestrator.rules.addresses import parsed

#: Names that were found, remembered for the control question; and how many of them it asks about.
REMEMBERED, ASKED = 32, 3
#: Seconds that the control question may take, and that its answer holds.
CONTROL_TIMEOUT, CONTROL_HOLDS = 2.0, 2.0
#: What is found here is found without a name server, and proves nothing.
HOSTS_FILE = Path("/etc/hosts")


class WatchedResolver(AbstractResolver):
    """Resolves like the one it is given, and remembers what it found."""

    def __init__(
        self,
        resolver: AbstractResolver | None = None,
        *,
        names: Collection[str] = (),
        hosts_file: Path = HOSTS_FILE,
    ) -> None:
        """`names`: hosts that are there as a rule, for the time in which none was found yet."""
        self._given = resolver
        self._names = [name for name in names if parsed(name) is None]
        self._hosts_file = hosts_file
        self._found: OrderedDict[str, frozenset[int]] = OrderedDict()
        self._pending: Counter[str] = Counter()
        self._given_up: dict[str, float] = {}
        self._question: asyncio.Task[bool | None] | None = None
        self._asked_at = 0.0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError where there is no answer."""
        self._pending[host] += 1
        try:
            found = await self._resolver().resolve(host, port, family)
        except asyncio.CancelledError:
            self._given_up[host] = monotonic()
            raise
        finally:
            self._pending[host] -= 1
            self._pending += Counter()  # forgets those that are zero
        self._found[host] = frozenset(result["family"] for result in found)
        self._found.move_to_end(host)
        self._given_up.pop(host, None)
        while len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
        return found

    async def close(self) -> None:
        """Shared by every connector of a client, which closes nothing of it."""

    def was_silent(self, host: str, since: float) -> bool:
        """Return whether a question about this host is open, or was given up, since then."""
        return self._pending[host] > 0 or self._given_up.get(host, since - 1) >= since

    def has_one_family(self, host: str) -> bool:
        """Return whether the host has no addresses of two families, as far as is known."""
        return len(self._found.get(host, ())) <= 1

    async def answers_for_others(self, host: str) -> bool | None:
        """Ask for other names; return None where none is known. Calls within two seconds share the answer."""
        if self._question is None or monotonic() - self._asked_at > CONTROL_HOLDS:
            self._asked_at = monotonic()
            self._question = asyncio.ensure_future(self._ask_for_others(host))
        return await asyncio.shield(self._question)

    async def _ask_for_others(self, host: str) -> bool | None:
        from_file = await asyncio.to_thread(_names_in, self._hosts_file)
        known = dict.fromkeys([*reversed(self._found), *self._names])
        others = [name for name in known if _domain(name) != _domain(host) and name not in from_file]
        if not others:
            return None
        asked = [asyncio.ensure_future(self._is_found(name)) for name in others[:ASKED]]
        try:
            async with asyncio.timeout(CONTROL_TIMEOUT):
                return any(await asyncio.gather(*asked))
        except TimeoutError:
            return any(one.done() and not one.cancelled() and one.result() for one in asked)

    async def _is_found(self, host: str) -> bool:
        try:
            return bool(await self._resolver().resolve(host, 0, socket.AF_UNSPEC))
        except (OSError, RuntimeError):  # no answer, or no thread to ask in
            return False

    def _resolver(self) -> AbstractResolver:
        if self._given is None:  # made on the loop that uses it
            self._given = ThreadedResolver()
        return self._given


def _domain(host: str) -> list[str]:
    """Names of one domain fail together where its own name servers do."""
    return host.lower().rstrip(".").split(".")[-2:]


def _names_in(hosts_file: Path) -> frozenset[str]:
    try:
        lines = hosts_file.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset({"localhost"})
    return frozenset(name for line in lines for name in line.partition("#")[0].split()[1:]) | {"localhost"}
