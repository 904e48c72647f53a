"""The shell blocks of the documentation, with the mark above each: whether it is run, by what, or why not."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.tools.site import ROOT, sources

#: Marks of blocks that tests/docs/test_commands.py runs: as one script, or each command alone.
SCRIPT, EACH = "run", "run: each"
RUNNING = frozenset({SCRIPT, EACH})
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n+)?^(?P<indent> *)```sh\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class ShellBlock:
    """A block of commands, where it is, and its mark."""

    page: Path
    line: int
    mark: str | None
    text: str

    @property
    def where(self) -> str:
        """Return the place, for people."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def shell_blocks(pages: Mapping[Path, str] | None = None) -> Iterator[ShellBlock]:
    """Yield the blocks of these pages, or of all."""
    given = pages or {path: path.read_text() for path in sorted(sources()) if path.suffix == ".md"}
    for page, text in given.items():
        for found in _BLOCK.finditer(text):
            line = 1 + text.count("\n", 0, found.start("indent"))
            yield ShellBlock(page, line, found["mark"], found["text"])
