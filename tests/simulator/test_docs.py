"""The page about the simulator names every kind and every fault, with the parameters of each, and nothing else."""

import inspect
import re
from pathlib import Path

from orchestrator.simulator.faults import FAULTS
from orchestrator.simulator.platforms import PLATFORMS

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()


def table(title: str) -> dict[str, str]:
    """Return first cell → last cell, of the table below a title."""
    part = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|.*\|(.*)\|$", part, re.MULTILINE)
    return dict(rows)


def test_the_page_names_every_kind() -> None:
    expected = {
        kind: {route.operation for route in platform.every_route} for kind, platform in PLATFORMS.items()
    }
    assert {kind: set(re.findall(r"`(\w+)`", cell)) for kind, cell in table("Kinds").items()} == expected


def test_the_page_names_every_fault_and_what_it_takes() -> None:
    expected = {name: list(inspect.signature(fault).parameters)[1:] for name, fault in FAULTS.items()}
    assert {name: re.findall(r"`(\w+)`", cell) for name, cell in table("Faults").items()} == expected
