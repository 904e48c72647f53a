"""What was expected beside what happened, and the time limit for it."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple


class Late(Exception):
    """It did not happen in time. The message says what was seen instead."""


class Seen(NamedTuple):
    """What another process reported, and whether it is what was expected."""

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
    """The simulator's own view of the play. The simulator shares no code with the platform."""

    open_now: int
    opens: int
    closes: int
    most_active_per_key: Mapping[str, Mapping[str, int]]
    pings_after_close: int
    calls: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The result of the play. It is right only if something was checked, and every check succeeded."""

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
    """The end of the play: what has not happened by then counts as missing."""

    def __init__(self, seconds: float) -> None:
        self.began_at = datetime.now(UTC)
        self._began = time.monotonic()
        self._seconds = seconds
        self._over = threading.Event()

    def left(self) -> float:
        """Return the seconds left; 0 once the deadline has passed or was called off."""
        return 0.0 if self._over.is_set() else max(0.0, self._seconds - self.elapsed())

    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        self._over.wait(min(seconds, self.left()))

    def call_off(self) -> None:
        """End every wait for the deadline."""
        self._over.set()
