"""The record in `record.jsonl`: one line for each input, below a line for each section."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tests.recorded.inputs import SECTIONS
from tests.recorded.outcomes import OUTCOMES, Outcome

RECORD = Path(__file__).with_name("record.jsonl")
Lines: TypeAlias = Sequence[Any]


def section_now(section: str, directory: Path) -> Lines:
    """Try every input of the section; return its lines: the section with a digest of its inputs, then the outcomes."""
    many, make = SECTIONS[section]
    inputs = [make(number) for number in range(many)]
    digest = hashlib.sha256(repr(inputs).encode("utf-8", "surrogatepass")).hexdigest()[:10]
    outcome_of = OUTCOMES[section]
    path = directory / "orchestrator.toml"
    return [{"section": section, "inputs": digest}, *(outcome_of(given, path) for given in inputs)]


def section_recorded(section: str) -> Lines:
    """Return the section's lines in the record."""
    lines = [json.loads(line) for line in RECORD.read_text().splitlines()]
    [start] = [n for n, line in enumerate(lines) if isinstance(line, dict) and line["section"] == section]
    return lines[start : start + 1 + SECTIONS[section][0]]


def differences(recorded: Lines, now: Lines) -> Iterator[tuple[int, Outcome, Outcome]]:
    """Yield the number of each input that has another outcome, with both outcomes; -1 where the inputs differ."""
    for number, (before, after) in enumerate(zip(recorded, now, strict=True), start=-1):
        if before != after:
            yield number, before, after


def write(sections: Mapping[str, Lines]) -> None:
    """Replace the record."""
    lines = [json.dumps(line, separators=(",", ":")) for lines in sections.values() for line in lines]
    RECORD.write_text("\n".join(lines) + "\n")
