"""Waits and deadlines run on the clock of the loop that makes the calls, so that both move together."""

import asyncio


def monotonic() -> float:
    """Seconds on the running loop's own clock: `time.monotonic()`, unless the loop keeps another."""
    return asyncio.get_running_loop().time()
