"""`make docs`: the pages of the repository as a site, in dist/docs/site, with llms.txt. A dead link ends it.

The generator wants all pages below one folder. So they are copied there with their places: a link of the repository
is a link of the site."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "docs" / "zensical.toml"
BUILD = ROOT / "dist" / "docs"
#: What pages are, and what they link to.
COPIED = ("*.md", "Procfile", "LICENSE", "docs/**/*", "deploy/**/*")
LEFT_OUT = {".env", "zensical.toml"}


def main() -> int:
    """Build the site; return the exit code of the generator."""
    shutil.rmtree(BUILD, ignore_errors=True)
    for path in sources():
        copy = BUILD / "pages" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    shutil.copyfile(CONFIGURATION, BUILD / CONFIGURATION.name)
    generator = ROOT / ".tools" / "bin" / "zensical"
    done = subprocess.run([generator, "build", "--strict", "--clean"], check=False, cwd=BUILD)
    if done.returncode != 0:
        return done.returncode
    (BUILD / "site" / "llms.txt").write_text(llms_txt())
    for page in BUILD.glob("pages/**/*.md"):  # the index for language models links to these, not to the HTML
        shutil.copyfile(page, BUILD / "site" / page.relative_to(BUILD / "pages"))
    dead = list(dead_links(BUILD / "site"))
    sys.stderr.writelines(f"dead link: {link}\n" for link in dead)
    return 1 if dead else 0


def sources() -> Iterator[Path]:
    """Yield every file that the site holds."""
    for pattern in COPIED:
        yield from (path for path in ROOT.glob(pattern) if path.is_file() and path.name not in LEFT_OUT)


def navigation() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the sections in their order, each with the titles and places of its pages."""
    project = tomllib.loads(CONFIGURATION.read_text())["project"]
    return [(name, list(_pages(below))) for section in project["nav"] for name, below in section.items()]


def llms_txt() -> str:
    """Return the index for language models: a title, a summary, and a link with a sentence for each page."""
    project = tomllib.loads(CONFIGURATION.read_text())["project"]
    lines = [f"# {project['site_name']}", "", f"> {project['site_description']}"]
    for name, pages in navigation():
        lines += ["", f"## {name}", ""]
        lines += [f"- [{title}]({place}): {first_sentence(ROOT / place)}" for title, place in pages]
    return "\n".join([*lines, ""])


def dead_links(site: Path) -> Iterator[str]:
    """Yield each link within the site, of pages and of llms.txt, that leads to no file. The generator itself checks
    links between pages only."""
    for page in sorted(site.rglob("*.html")):
        links = LinkParser()
        links.feed(page.read_text())
        for link in sorted(links.found):
            address = urlsplit(link)
            path = unquote(address.path)
            there = (site / path[1:] if path.startswith("/") else page.parent / path) if path else page
            if not (address.scheme or there.is_file() or (there / "index.html").is_file()):
                yield f"{link} in {page.relative_to(site)}"
    for link in re.findall(r"^- \[[^]]+\]\(([^)]+)\)", _text(site / "llms.txt"), re.MULTILINE):
        if not (site / link).is_file():
            yield f"{link} in llms.txt"


class LinkParser(HTMLParser):
    """Collects where the links, images and scripts of a page lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of this element."""
        self.found |= {value for name, value in attrs if name in ("href", "src") and value}


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _pages(below: Any) -> Iterator[tuple[str, str]]:
    for entry in below:
        for title, what in entry.items():
            if isinstance(what, str):
                yield title, what
            else:
                yield from _pages(what)


def first_sentence(page: Path) -> str:
    """Return the first sentence of a page's first paragraph, without its links."""
    text = re.sub(r"<!--.*?-->|```.*?```", "", page.read_text(), flags=re.DOTALL)
    paragraphs = [part.strip() for part in text.split("\n\n")]
    prose = next(part for part in paragraphs if part and part[0] not in "#|!-" and len(part.split()) > 5)
    plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", " ".join(prose.split()))
    return re.split(r"(?<=\.) ", plain)[0]


if __name__ == "__main__":
    sys.exit(main())
