"""Faults of the connection: silence, delay, and answers that break off."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from orchestrator.simulator.faults.turn import Seconds, Turn
from orchestrator.simulator.wire import Delivery, Refusal, Reply

CHUNK = 64 * 1024


def dead(turn: Turn, *, how: Literal["abort", "error"] = "abort") -> Reply:
    """Serve nothing: drop the connection, or answer a bare 500."""
    if how == "abort":
        return Reply(delivery=Delivery.CUT)
    return turn.refuse(Refusal(status=500, message="Internal Server Error", type="server_error"))


async def slow(turn: Turn, *, seconds: Seconds = 1, effect: Literal["first", "last"] = "first") -> Reply:
    """Answer normally, but late. With `last` the effect is late too, and happens even if the caller has left."""
    if effect == "first":
        return replace(turn.perform(), delay=seconds)
    await asyncio.sleep(seconds)
    return turn.perform()


def hang(turn: Turn, *, effect: bool = False) -> Reply:
    """Leave the request without an answer; the call ends when the caller leaves."""
    return turn.instead(Reply(delivery=Delivery.NEVER), effect=effect)


#: what needs the one slot
_SLOTTED = frozenset({"chat", "transcribe"})


def busy(turn: Turn, *, seconds: Seconds = 120) -> Reply:
    """Delay chats, as if the only slot were in use. Calls that need no slot are answered at once."""
    done = turn.perform()
    return replace(done, delay=seconds) if turn.ask.operation in _SLOTTED else done


def cut_before_effect(turn: Turn) -> Reply:  # noqa: ARG001
    """Drop the connection without performing the request."""
    return Reply(delivery=Delivery.CUT)


def cut_after_effect(turn: Turn) -> Reply:
    """Perform the request, then drop the connection before the answer."""
    return replace(turn.perform(), delivery=Delivery.CUT)


def cut_in_body(turn: Turn) -> Reply:
    """Perform the request, and send half of the answer."""
    return replace(turn.perform(), delivery=Delivery.HALF)


def huge_body(turn: Turn, *, size_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024) -> Reply:  # noqa: ARG001
    """Answer more than a caller should read."""
    return Reply(chunks=_padding(size_bytes), garbled=True)


def _padding(size: int) -> Iterator[bytes]:
    yield b"{"
    for start in range(1, size - 1, CHUNK):
        yield b" " * min(CHUNK, size - 1 - start)
    yield b"}"
