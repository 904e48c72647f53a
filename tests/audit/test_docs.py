"""The page on operations explains each check that can alarm an operator."""

import re
from pathlib import Path

from orchestrator.rules.audit.invariants import Invariant

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def test_the_page_on_operations_has_a_row_for_every_check() -> None:
    section = PAGE.partition("## What the audit says")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(Invariant)
