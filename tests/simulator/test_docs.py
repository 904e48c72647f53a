"""The pages name every kind with its operations, and every fault with its parameters, and nothing else."""

import inspect
import re
from pathlib import Path

import pytest

from orchestrator.simulator.faults import FAULTS
from orchestrator.simulator.platform import Platform
from orchestrator.simulator.platforms import PLATFORMS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "simulator.md").read_text()
CARDS = (DOCS / "providers.md").read_text()


def table(title: str) -> dict[str, str]:
    """Return first cell → last cell, of the table below a title."""
    part = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|.*\|(.*)\|$", part, re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda platform: platform.kind)
def test_the_card_of_a_driver_names_its_kind(platform: Platform) -> None:
    card = CARDS.partition(f"(`{platform.kind}`)\n")[2].partition("\n## ")[0]
    [(url, operations)] = re.findall(
        r"^\[Simulated\]\(simulator.md\) at `([^`]+)`, operations (.*)\.$", card, re.MULTILINE
    )
    assert url == platform.base_url("http://127.0.0.1:8900", "NAME")
    assert set(re.findall(r"`(\w+)`", operations)) == {route.operation for route in platform.every_route}


def test_the_page_names_every_fault_and_what_it_takes() -> None:
    expected = {name: list(inspect.signature(fault).parameters)[1:] for name, fault in FAULTS.items()}
    assert {name: re.findall(r"`(\w+)`", cell) for name, cell in table("Faults").items()} == expected
