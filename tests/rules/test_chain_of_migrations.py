"""Migrations are one chain: two with the same parent would leave every database without an upgrade."""

import re
from pathlib import Path

VERSIONS = Path(__file__).parents[2] / "orchestrator" / "store" / "migrations" / "versions"


def test_each_migration_follows_the_one_before() -> None:
    files = sorted(VERSIONS.glob("[0-9]*.py"))
    texts = [file.read_text() for file in files]
    revisions = [re.findall(r'^revision = "(\d+)"', text, re.MULTILINE) for text in texts]
    before = [re.findall(r'^down_revision = "(\d+)"', text, re.MULTILINE) for text in texts]
    assert revisions == [[file.name[:4]] for file in files]
    assert before == [[], *revisions[:-1]]
