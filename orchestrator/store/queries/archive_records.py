"""A session with its placements as one document, and the digest that shows whether the archive still holds it
unchanged."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from orchestrator.rules.values import Placement, Session
from orchestrator.store.queries.ledger import Line

_SESSION, _PLACEMENT = TypeAdapter(Session), TypeAdapter(Placement)


def record_of(session: Session, placements: Sequence[Placement]) -> Mapping[str, Any]:
    """Return the session and its placements as the archive's document."""
    return {
        "session": _SESSION.dump_python(session, mode="json"),
        "placements": [_PLACEMENT.dump_python(one, mode="json") for one in placements],
    }


def session_in(record: Mapping[str, Any]) -> Session:
    """Return the session in the document. Raises ValueError if it holds none."""
    return _SESSION.validate_python(record["session"])


def placements_in(record: Mapping[str, Any]) -> Sequence[Placement]:
    """Return the placements in the document, oldest first. Raises ValueError if it does not hold them."""
    return [_PLACEMENT.validate_python(one) for one in record["placements"]]


def digest_of(record: Mapping[str, Any], entries: Sequence[Line]) -> str:
    """Return the digest of a record and its ledger entries. It is the same on every database."""
    lines = [asdict(entry) for entry in sorted(entries, key=lambda entry: entry.id)]
    text = json.dumps([record, lines], sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    assert isinstance(value, Decimal)
    return f"{value.normalize():f}"
