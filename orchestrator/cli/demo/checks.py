"""What had to happen beside what happened, and the time in which it had to."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple


class Late(Exception):
    """It did not happen in time; the message says what was there instead."""


class Seen(NamedTuple):
    """What another process said or showed, and whether it is what had to happen."""

    text: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Expectation:
    scene: str
    expected: str
    happened: str
    ok: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderView:
    """What the simulator, which shares no code with the platform, has to say about the play."""

    open_now: int
    opens: int
    closes: int
    most_active_per_key: Mapping[str, Mapping[str, int]]
    pings_after_close: int
    calls: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Everything is right only where something was looked at, and all of it was right."""

    seconds: float
    checks: Sequence[Expectation]
    provider_view: ProviderView | None
    logs: Path | None = None
    """Kept where something went wrong."""

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)

    def with_logs(self, directory: Path) -> "Summary":
        return replace(self, logs=directory)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "checks": [asdict(check) for check in self.checks],
            "provider_view": asdict(self.provider_view) if self.provider_view else None,
            "logs": str(self.logs) if self.logs else None,
        }


class Deadline:
    """The play's own end: what has not happened by then did not happen."""

    def __init__(self, seconds: float) -> None:
        self.began_at = datetime.now(UTC)
        self._began = time.monotonic()
        self._seconds = seconds
        self._over = threading.Event()

    def left(self) -> float:
        """Return seconds; 0 once it has passed or was called off."""
        return 0.0 if self._over.is_set() else max(0.0, self._seconds - self.elapsed())

    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        self._over.wait(min(seconds, self.left()))

    def call_off(self) -> None:
        """End every wait for the deadline."""
        self._over.set()
