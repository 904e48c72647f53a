"""`python -m tests.tools.concepts`: write the state diagrams of docs/concepts.md from the tables of transitions."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from orchestrator.rules.states import PLACEMENT_TRANSITIONS, SESSION_TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "concepts.md"
#: The name of each diagram, and its table; the first state of a table is where every life begins.
DIAGRAMS: Mapping[str, Mapping[Any, Collection[str]]] = {
    "session": SESSION_TRANSITIONS,
    "placement": PLACEMENT_TRANSITIONS,
}


def drawn(table: Mapping[Any, Collection[str]]) -> str:
    """Return the table as a Mermaid state diagram."""
    first = next(iter(table))
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    for state, following in table.items():
        ordered = [one for one in table if one in following]
        lines += [f"    {state} --> {one}" for one in ordered] or [f"    {state} --> [*]"]
    return "\n".join(lines)


def with_diagrams(page: str) -> str:
    """Return the page with every diagram as its table is now."""
    for name, table in DIAGRAMS.items():
        fresh = f"<!-- {name} -->\n```mermaid\n{drawn(table)}\n```\n<!-- /{name} -->"
        page = re.sub(f"<!-- {name} -->.*<!-- /{name} -->", fresh, page, flags=re.DOTALL)
    return page


if __name__ == "__main__":
    PAGE.write_text(with_diagrams(PAGE.read_text()))
