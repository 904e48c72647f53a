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


def test_no_command_hides_in_a_block_without_a_language() -> None:
    hidden = [
        f"{path.relative_to(ROOT)}: {command}"
        for path in sorted(sources())
        if path.suffix == ".md"
        for command in hidden_commands(path.read_text())
    ]
    assert hidden == [], "put them into a block that begins with ```sh, with a mark above it"


@pytest.mark.parametrize(
    ("page", "found"),
    [
        pytest.param("```\norchestrator up\n```\n", ["orchestrator up"], id="no language"),
        pytest.param("a\n\n    orchestrator up\n", ["orchestrator up"], id="indented"),
        pytest.param("```\n$ make test\n```\n", ["make test"], id="with a prompt"),
        pytest.param("```sh\norchestrator up\n```\n", [], id="a block of a shell"),
        pytest.param("```python\n    make = 1\n```\n", [], id="another language"),
        pytest.param("Say `orchestrator up`\nor `make test`.\n", [], id="within a sentence"),
    ],
)
def test_a_hidden_command_is_found(page: str, found: list[str]) -> None:
    assert hidden_commands(page) == found


def hidden_commands(page: str) -> list[str]:
    """Return the commands of this page that are in a fenced block without a language, or in an indented one."""
    rest = re.sub(r"^( *)```\w+\n.*?^\1```$", "", page, flags=re.DOTALL | re.MULTILINE)
    fenced = re.findall(r"^ *```\n(.*?)^ *```$", rest, re.DOTALL | re.MULTILINE)
    blocks = [block for block in fenced if "│" not in block]  # a drawing
    rest = re.sub(r"^ *```\n.*?^ *```$", "", rest, flags=re.DOTALL | re.MULTILINE)
    lines = [*"".join(blocks).splitlines(), *re.findall(r"^ {4,}.*$", rest, re.MULTILINE)]
    bare = [line.strip().removeprefix("$ ") for line in lines]
    return [line for line in bare if re.match(r"(orchestrator|make|pip|docker|kubectl) ", line)]


def _languages(page: str) -> set[str]:
    return set(re.findall(r"^ *```(\w+)", page, re.MULTILINE))
