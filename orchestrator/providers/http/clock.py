"""Waits and deadlines run on the clock of the loop that makes the calls, so that both move together."""

import asyncio


def monotonic() -> float:
    """Return the running loop's own clock in seconds: `time.monotonic()`, unless the loop has another."""
    return asyncio.get_running_loop().time()
