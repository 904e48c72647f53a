"""Every shell block of the documentation says whether a test runs it, and if none does, why."""

import re

import pytest

from tests.tools.commands import RUNNING, ShellBlock, shell_blocks
from tests.tools.site import ROOT, navigation, sources

BLOCKS = list(shell_blocks())


def test_every_block_is_marked() -> None:
    unmarked = [block.where for block in BLOCKS if block.mark is None]
    assert unmarked == [], "put `<!-- run -->`, `<!-- run by FILE -->` or `<!-- not run: WHY -->` above it"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_a_mark_says_enough(block: ShellBlock) -> None:
    mark = block.mark or ""
    if mark.startswith("run by "):
        runner = ROOT / mark.removeprefix("run by ")
        assert runner.is_file()
        assert block.page.stem in runner.read_text()
    elif mark.startswith("not run: "):
        assert len(mark.split()) > 3, "say why"
    else:
        assert mark in RUNNING


def test_a_block_without_a_mark_is_found() -> None:
    page = "text\n\n```sh\na\n```\n\n<!-- run -->\n```sh\nb\n```\n\n<!-- not run: why -->\n\n```sh\nc\n```\n"
    found = list(shell_blocks({ROOT / "x.md": page}))
    assert [(block.mark, block.text) for block in found] == [
        (None, "a\n"),
        ("run", "b\n"),
        ("not run: why", "c\n"),
    ]
    assert [block.where for block in found] == ["x.md:3", "x.md:8", "x.md:14"]


def test_the_site_has_every_page() -> None:
    pages = {str(path.relative_to(ROOT)) for path in sources() if path.suffix == ".md"}
    listed = [place for _, section in navigation() for _, place in section]
    assert sorted(listed) == sorted(pages)
    assert [name for name, _ in navigation()] == ["Start", "Operate", "Integrate", "Understand", "Reference"]


def test_no_shell_block_hides_behind_another_name() -> None:
    names = {name for path in sources() if path.suffix == ".md" for name in _languages(path.read_text())}
    assert names <= {"sh", "python", "js", "json", "toml", "yaml", "sql", "mermaid"}


def _languages(page: str) -> set[str]:
    return set(re.findall(r"^ *```(\w+)", page, re.MULTILINE))
