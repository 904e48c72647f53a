"""`python -m tests.tools.prose`: count the words of prose_words.txt in docstrings, comments, messages and pages."""

import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORDS = Path(__file__).with_name("prose_words.txt")
#: Occurrences that a folder may have per 1,000 words.
BOUND = 1.0
#: A comment or a string literal of Python. `tokenize` finds the same, and takes four seconds for this repository.
LITERAL = re.compile(
    r"""\#[^\n]*
    | (?P<prefix>\b[rbuf]{1,2}|)
      (?P<quote>\"{3}|'{3}|\"|') (?P<text>(?:\\.|(?!(?P=quote)).)*) (?P=quote)""",
    re.DOTALL | re.VERBOSE | re.IGNORECASE,
)
#: Code inside prose: between backticks, the target of a link, and fenced blocks of a page.
CODE = re.compile(r"^ *```.*?^ *```|``?[^`]+``?|(?<=\])\([^)]*\)", re.DOTALL | re.MULTILINE)
EXPRESSION = re.compile(r"\{[^{}]*\}")
WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class Hit:
    """One of the words, where it stands."""

    path: Path
    line: int
    word: str


@dataclass(frozen=True)
class Count:
    """What one folder, or one page, has."""

    words: int
    hits: tuple[Hit, ...]

    @property
    def rate(self) -> float:
        """Return the occurrences per 1,000 words."""
        return 1000 * len(self.hits) / self.words if self.words else 0.0


def pattern(lines: Collection[str]) -> re.Pattern[str]:
    """Return what matches each word or phrase of the list, where it is no part of a name."""
    words = [r"\s+".join(map(re.escape, line.split())) for line in lines if line.strip() and line[0] != "#"]
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(words)})(?![\w(=-])", re.IGNORECASE)


def blank(found: re.Match[str]) -> str:
    """Return as many lines without text, so that what follows keeps its line."""
    return " " + "\n" * found[0].count("\n")


def prose_of_code(source: str) -> Iterator[tuple[int, str]]:
    """Yield each comment, docstring and sentence of a module, with the line where it begins."""
    line, seen = 1, 0
    for found in LITERAL.finditer(source):
        line, seen = line + source.count("\n", seen, found.start()), found.start()
        text = found["text"]
        if text is None:
            yield line, CODE.sub(blank, found[0])
        elif " " in text:  # a string without a space is a key or a name
            text = EXPRESSION.sub(blank, text) if "f" in found["prefix"].lower() else text
            yield line, CODE.sub(blank, text)


def prose_of_page(source: str) -> Iterator[tuple[int, str]]:
    """Yield the text of a Markdown page without its code."""
    yield 1, CODE.sub(blank, source)


def count(paths: Collection[Path], words: re.Pattern[str]) -> Count:
    """Count the words in these modules and pages."""
    total, hits = 0, list[Hit]()
    for path in paths:
        prose = prose_of_page if path.suffix == ".md" else prose_of_code
        for line, text in prose(path.read_text()):
            total += len(WORD.findall(text))
            hits += [
                Hit(path, line + text.count("\n", 0, found.start()), found[0])
                for found in words.finditer(text)
            ]
    return Count(total, tuple(hits))


def folders(root: Path) -> dict[str, list[Path]]:
    """Return the modules and pages of each folder that has a bound."""
    package = root / "orchestrator"
    found = {"orchestrator": sorted(package.glob("*.py"))}
    for folder in sorted(package.iterdir()):
        if modules := sorted(folder.rglob("*.py")):
            found[f"orchestrator/{folder.name}"] = modules
    found |= {"tests": sorted((root / "tests").rglob("*.py")), "docs": sorted((root / "docs").rglob("*.md"))}
    return found | {page: [root / page] for page in ("README.md", "ARCHITECTURE.md", "SECURITY.md")}


def main(root: Path = ROOT) -> int:
    """Print the table, and every word of a folder that has too many; return the exit code."""
    words = pattern(WORDS.read_text().splitlines())
    table = [f"{'folder':<28}{'count':>6}{'words':>8}{'per 1,000':>11}{'at most':>9}"]
    excess = list[Hit]()
    for name, paths in folders(root).items():
        found = count(paths, words)
        table.append(f"{name:<28}{len(found.hits):>6}{found.words:>8}{found.rate:>11.2f}{BOUND:>9}")
        excess += found.hits if found.rate > BOUND else ()
    sys.stdout.writelines(f"{line}\n" for line in table)
    sys.stderr.writelines(f"{hit.path.relative_to(root)}:{hit.line}: {hit.word}\n" for hit in excess)
    return 1 if excess else 0


if __name__ == "__main__":
    sys.exit(main())
