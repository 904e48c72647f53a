"""The simulator inside a test: a real server on a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from orchestrator.simulator.hosting import Host
from orchestrator.simulator.report import Report
from orchestrator.simulator.values import Call, SimSession
from orchestrator.simulator.world import Simulator

T = TypeVar("T")
ModelLike = str | dict[str, Any]


class SimulatorServer:
    """The simulator in a thread. Its methods may be called from any thread; they return snapshots."""

    def __init__(self, simulator: Simulator | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.simulator = simulator or Simulator()
        self._address = (host, port)
        self._host = Host(self.simulator)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)
        self._url: str | None = None

    @property
    def url(self) -> str:
        assert self._url is not None, "the simulator is not running"
        return self._url

    def start(self) -> None:
        self._thread.start()
        try:
            start = self._host.start(*self._address)
            self._url = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._host.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def add_upstream(
        self, name: str, kind: str, keys: Iterable[str], models: Iterable[ModelLike], **options: Any
    ) -> str:
        """Create or replace a platform of this kind, and return its base URL."""
        spec = {**options, "kind": kind, "keys": list(keys), "models": list(models)}
        return self._on_loop(lambda: self._host.operator.put_upstream(name, spec, self.url))

    def fault(
        self,
        name: str,
        *,
        upstream: str | None = None,
        key: str | None = None,
        model: str | None = None,
        session: str | None = None,
        operation: str | None = None,
        times: int | None = None,
        probability: float = 1.0,
        **params: Any,
    ) -> str:
        """Add a fault from now on, and return its id."""
        spec = {
            "name": name,
            "upstream": upstream,
            "key": key,
            "model": model,
            "session": session,
            "operation": operation,
            "times": times,
            "probability": probability,
            "params": params,
        }
        return self._on_loop(lambda: self._host.operator.add_fault(spec))

    def remove_fault(self, fault_id: str) -> bool:
        return self._on_loop(lambda: self.simulator.faults.remove(fault_id))

    def clear_faults(self) -> None:
        self._on_loop(self.simulator.faults.clear)

    def log(self, since: int = 0, **wanted: Any) -> list[Call]:
        """Return calls after `since` with fields that equal what is wanted."""
        return self._on_loop(lambda: self.simulator.calls.read(since, **wanted))

    def clear_log(self) -> None:
        self._on_loop(self.simulator.calls.clear)

    def sessions(self) -> list[SimSession]:
        return self._on_loop(self.simulator.sessions.all)

    def open_sessions(self) -> list[SimSession]:
        return self._on_loop(self.simulator.sessions.open_now)

    def end_session(self, session_id: str, how: str = "expired") -> SimSession:
        return self._on_loop(lambda: self._host.operator.end_session(session_id, how))

    def report(self) -> Report:
        return self._on_loop(self.simulator.report)

    def reset(self) -> None:
        self._on_loop(self._host.operator.reset)

    def _on_loop(self, act: Callable[[], T]) -> T:
        """Run this on the world's one loop, for the world has no locks."""

        async def on_loop() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result()
