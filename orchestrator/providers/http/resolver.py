"""The resolver of one process: the system's, with a record of whether it answers.

A name that is not found is the provider's fault if other names are found, and this machine's fault if none is. So after
a failure, names that were found before are looked up again, once for all calls that failed meanwhile, in threads that
no other name can use."""

import asyncio
import socket
from collections import Counter, OrderedDict
from collections.abc import Collection
from functools import partial
from pathlib import Path

from aiohttp.abc import AbstractResolver, ResolveResult

from orchestrator.providers.http.clock import monotonic
from orchestrator.providers.http.name_threads import SLOW, Lookup, NameThreads, domain, in_a_thread, look_up
from orchestrator.rules.upstream.addresses import parsed

#: How many found names are remembered for the control question, and how many of them it asks about.
REMEMBERED, ASKED = 32, 3
#: Seconds that the control question may take, and for which its answer is used.
CONTROL_TIMEOUT, CONTROL_HOLDS = 2.0, 2.0
#: Names in this file are found without a name server, and prove nothing.
HOSTS_FILE = Path("/etc/hosts")


class WatchedResolver(AbstractResolver):
    """A resolver that passes names on to another, and remembers the names found."""

    def __init__(
        self,
        resolver: AbstractResolver | None = None,
        *,
        names: Collection[str] = (),
        hosts_file: Path = HOSTS_FILE,
        lookup: Lookup = look_up,
    ) -> None:
        """Prepare the resolver. `names`: hosts that normally exist, used until one was found. `lookup`: how the system
        is asked, where no other `resolver` is given."""
        self._resolver = resolver or NameThreads(lookup)
        self._for_control = resolver or NameThreads(lookup)
        self._names = [name for name in names if parsed(name) is None]
        self._hosts_file = hosts_file
        self._found: OrderedDict[str, frozenset[int]] = OrderedDict()
        self._pending: Counter[str] = Counter()
        self._since: dict[str, float] = {}
        self._given_up: dict[str, float] = {}
        self._question: asyncio.Task[bool | None] | None = None
        self._asked_at = 0.0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a host and note the answer. Raises OSError if there is no answer."""
        self._pending[host] += 1
        self._since.setdefault(host, monotonic())
        try:
            found = await self._resolver.resolve(host, port, family)
        except asyncio.CancelledError:
            self._given_up[host] = monotonic()
            raise
        finally:
            self._pending[host] -= 1
            if not self._pending[host]:
                del self._pending[host]
                del self._since[host]
        self._given_up.pop(host, None)
        self._found[host] = frozenset(result["family"] for result in found)
        self._found.move_to_end(host)
        while len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
        return found

    async def close(self) -> None:
        """Do nothing: every connector of a client shares this resolver."""

    def was_silent(self, host: str, since: float) -> bool:
        """Return whether a question about this host is still open, or was given up since then."""
        return self._pending[host] > 0 or self._given_up.get(host, since - 1) >= since

    def has_one_family(self, host: str) -> bool:
        """Return whether the host has no addresses of two families, as far as is known."""
        return len(self._found.get(host, ())) <= 1

    async def answers_for_others(self, host: str) -> bool | None:
        """Look up other names, and return whether they are found; None if none is known. Calls within two seconds
        share the answer."""
        if self._question is None or monotonic() - self._asked_at > CONTROL_HOLDS:
            self._asked_at = monotonic()
            self._question = asyncio.ensure_future(self._ask_for_others(host))
        return await asyncio.shield(self._question)

    async def _ask_for_others(self, host: str) -> bool | None:
        asked: list[asyncio.Future[bool]] = []
        try:
            async with asyncio.timeout(CONTROL_TIMEOUT):
                others = await self._others(host)
                if not others:
                    return None
                asked += [asyncio.ensure_future(self._is_found(name)) for name in others[:ASKED]]
                return any(await asyncio.gather(*asked))
        except RuntimeError:  # no thread can be started
            return None
        except TimeoutError:
            return (
                any(one.done() and not one.cancelled() and one.result() for one in asked) if asked else None
            )

    async def _others(self, host: str) -> list[str]:
        """Return names of other domains that were found by name servers: first those that do not hang themselves,
        newest first."""
        from_file = await in_a_thread(partial(_names_in, self._hosts_file))
        known = dict.fromkeys([*reversed(self._found), *self._names])
        others = [name for name in known if domain(name) != domain(host) and name not in from_file]
        return sorted(others, key=self._hangs)

    def _hangs(self, host: str) -> bool:
        return host in self._given_up or monotonic() - self._since.get(host, float("inf")) >= SLOW / 2

    async def _is_found(self, host: str) -> bool:
        try:
            return bool(await self._for_control.resolve(host, 0, socket.AF_UNSPEC))
        except (OSError, RuntimeError):  # no answer, or no thread to ask in
            return False


def _names_in(hosts_file: Path) -> frozenset[str]:
    try:
        lines = hosts_file.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset({"localhost"})
    return frozenset(name for line in lines for name in line.partition("#")[0].split()[1:]) | {"localhost"}
