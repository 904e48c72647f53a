"""The clock of the event loop that makes the calls. Waits and deadlines both use it, so that they stay consistent."""

import asyncio


def monotonic() -> float:
    """Return the running loop's own clock in seconds: `time.monotonic()`, unless the loop has another."""
    return asyncio.get_running_loop().time()
