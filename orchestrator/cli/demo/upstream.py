"""The simulator's control endpoint: cause faults at the providers, and read what they saw."""

from dataclasses import fields
from typing import Any

import httpx

from orchestrator.cli.demo.checks import ProviderView


class SimulatorClient:
    """Controls and queries the simulated world."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/control", timeout=10, trust_env=False)

    def kill(self, handle: str) -> None:
        """Stop answering chats of this session; by the provider's record it stays open."""
        fault = {"name": "dead", "session": handle, "operation": "chat"}
        self._http.post("/faults", json=fault).raise_for_status()

    def session(self, handle: str) -> dict[str, Any] | None:
        """Return a session as the provider has it on record."""
        sessions = self._http.get("/sessions").raise_for_status().json()
        return next((session for session in sessions if session["id"] == handle), None)

    def view(self) -> ProviderView:
        """Return the whole play, as the providers saw it."""
        report = self._http.get("/report").raise_for_status().json()
        return ProviderView(**{field.name: report[field.name] for field in fields(ProviderView)})

    def close(self) -> None:
        self._http.close()
