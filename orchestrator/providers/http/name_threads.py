"""The system's resolver in threads of its own, so that names that hang take no thread from other names or other work.

The system's resolver blocks, for half a minute or for ever, and cannot be cancelled. So each name has at most one
thread, however many calls wait for it. Names in doubt, which were slow the last time or are slow now, share a number of
threads. All other names have as many, which a name in doubt never uses."""

import asyncio
import socket
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from aiohttp.abc import AbstractResolver, ResolveResult

#: How many names in doubt are looked up at once, and how many others; and how many of those belong to one domain.
AT_ONCE, OF_ONE_DOMAIN = 64, 16
#: The most threads in all: lookups that began as not in doubt may turn out to hang.
MOST = 512
#: A name without an answer after this many seconds is in doubt.
SLOW = 1.0
#: Names in doubt that are remembered.
REMEMBERED = 1024

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
#: (family, protocol, address, scope) of each address of a name.
Found = Sequence[tuple[socket.AddressFamily, int, str]]
T = TypeVar("T")
Lookup = Callable[[str, socket.AddressFamily], Found]


def look_up(host: str, family: socket.AddressFamily) -> Found:
    """Ask the system, which may take long. Raises OSError if there is no answer."""
    infos = socket.getaddrinfo(host, 0, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    return [
        (of, proto, _numeric(address)) for of, _, proto, _, address in infos if isinstance(address[0], str)
    ]


def domain(host: str) -> str:
    """Return the last two labels of a host. Names of one domain fail together when its name servers do."""
    return ".".join(host.lower().rstrip(".").split(".")[-2:])


@dataclass(eq=False, slots=True)
class _Question:
    """One name that is being resolved."""

    host: str
    family: socket.AddressFamily
    answer: "asyncio.Future[Found]"
    in_doubt: bool
    callers: int = 0
    began: float | None = None
    """None while it waits for a thread."""
    of: str = field(init=False)

    def __post_init__(self) -> None:
        self.of = domain(self.host)


class NameThreads(AbstractResolver):
    """The threads and questions of one event loop."""

    def __init__(self, lookup: Lookup = look_up) -> None:
        self._lookup = lookup
        self._open: dict[tuple[str, socket.AddressFamily], _Question] = {}
        self._doubtful: OrderedDict[str, None] = OrderedDict()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a host. Raises OSError if there is no answer, RuntimeError where no thread can be started."""
        question = self._open.get((host, family))
        if question is None:
            question = self._ask(host, family)
        question.callers += 1
        try:
            found = await asyncio.shield(question.answer)
        finally:
            question.callers -= 1
            if not question.callers and question.began is None:
                self._close(question)  # no caller waits for it any more, and no thread works on it
        return [
            ResolveResult(hostname=host, host=address, port=port, family=of, proto=proto, flags=_NUMERIC)
            for of, proto, address in found
        ]

    async def close(self) -> None:
        """Do nothing: a thread ends with its answer, or with the process."""

    def _ask(self, host: str, family: socket.AddressFamily) -> _Question:
        loop = asyncio.get_running_loop()
        question = _Question(
            host=host, family=family, answer=loop.create_future(), in_doubt=host in self._doubtful
        )
        question.answer.add_done_callback(_is_known)
        self._open[host, family] = question
        self._begin_what_may()
        return question

    def _begin_what_may(self) -> None:
        """Begin the questions that the limits allow, in the order in which they came."""
        running = Counter(one.in_doubt for one in self._open.values() if one.began is not None)
        of_domain = Counter((one.in_doubt, one.of) for one in self._open.values() if one.began is not None)
        for question in [one for one in self._open.values() if one.began is None]:
            kind, mine = question.in_doubt, (question.in_doubt, question.of)
            if running.total() < MOST and running[kind] < AT_ONCE and of_domain[mine] < OF_ONE_DOMAIN:
                running[kind] += 1
                of_domain[mine] += 1
                self._begin(question)

    def _begin(self, question: _Question) -> None:
        loop = asyncio.get_running_loop()

        question.began = loop.time()
        try:
            _start(partial(self._lookup, question.host, question.family), partial(self._answered, question))
        except RuntimeError as error:  # no more threads
            del self._open[question.host, question.family]
            question.answer.set_exception(error)
            return
        loop.call_later(SLOW, self._is_slow, question)

    def _answered(self, question: _Question, answer: Found | Exception) -> None:
        self._close(question)
        if question.began is not None and asyncio.get_running_loop().time() - question.began < SLOW:
            self._doubtful.pop(question.host, None)
        _settle(question.answer, answer)

    def _is_slow(self, question: _Question) -> None:
        """Mark a question as in doubt. From now on it takes no room from names that are not in doubt."""
        if self._open.get((question.host, question.family)) is not question:
            return
        question.in_doubt = True
        self._doubtful[question.host] = None
        self._doubtful.move_to_end(question.host)
        while len(self._doubtful) > REMEMBERED:
            self._doubtful.popitem(last=False)
        self._begin_what_may()

    def _close(self, question: _Question) -> None:
        if self._open.get((question.host, question.family)) is question:
            del self._open[question.host, question.family]
            self._begin_what_may()


async def in_a_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread of its own. Raises RuntimeError if none can be started."""
    answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    _start(work, partial(_settle, answer))
    return await answer


def _start(work: Callable[[], T], settle: Callable[[T | Exception], None]) -> None:
    """Start the work in a thread that does not outlive the process; `settle` runs on the loop."""
    loop = asyncio.get_running_loop()

    def run() -> None:
        try:
            answer: T | Exception = work()
        except Exception as error:  # noqa: BLE001  handed to the caller that waits
            answer = error
        with suppress(RuntimeError):  # the loop is closed: no caller waits
            loop.call_soon_threadsafe(settle, answer)

    threading.Thread(target=run, name="resolver", daemon=True).start()


def _settle(waiting: "asyncio.Future[T]", answer: T | Exception) -> None:
    if waiting.done():
        return
    if isinstance(answer, Exception):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)


def _numeric(address: tuple[object, ...]) -> str:
    """Return an address as text. A link-local address includes the number of its link."""
    if len(address) > 3 and address[3]:
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]  # type: ignore[arg-type]
    return str(address[0])


def _is_known(answer: "asyncio.Future[Found]") -> None:
    """Read the error, so that asyncio does not log it as never retrieved if no caller is left."""
    if not answer.cancelled():
        answer.exception()
