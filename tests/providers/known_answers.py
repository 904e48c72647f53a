"""Real answers of servers and gateways: one line each of known_answers.jsonl, with its published source.

`chat` and `speech` have status 200. Errors: an unknown model, a bad key, no credit, overload, loading; and `not_gone`,
answers that only look like an unknown model and must not end a session: one confirmation of GONE is death."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.rules.values import Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownAnswer:
    """One answer. `source`: the code, documentation, schema or issue that has it."""

    situation: str
    server: str
    what: str
    status: int = 200
    body: Any
    verdict: Verdict
    source: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.server}: {self.what}"


def _read(line: str) -> KnownAnswer:
    row = json.loads(line)
    return KnownAnswer(**row | {"verdict": Verdict(row["verdict"])})


_ALL = [_read(line) for line in Path(__file__).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
CHAT = [known for known in _ALL if known.situation == "chat"]
SPEECH = [known for known in _ALL if known.situation == "speech"]
ERRORS = [known for known in _ALL if known.situation not in {"chat", "speech"}]
