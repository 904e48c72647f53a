"""Links of the documentation lead to places that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def anchors_of(page: Path) -> set[str]:
    """Return the headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), f"{link} leads nowhere"
        if anchor and there.suffix == ".md":
            assert anchor in anchors_of(there), f"{link} names no heading of {there.name}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#]+)", page.read_text())
        for there in ((page.parent / link).resolve() for link in links if "://" not in link):
            ahead += sorted(there.glob("*.md")) if there.is_dir() else [there]
    assert reached >= set(PAGES)


def test_every_file_that_the_map_names_is_there() -> None:
    named = re.findall(r"`([\w/]+(?:/|\.py))`", (ROOT / "ARCHITECTURE.md").read_text())
    places = [ROOT, ROOT / "orchestrator", *(ROOT / "orchestrator").iterdir()]
    assert len(named) > 50
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


def test_every_name_of_the_code_that_the_map_names_is_there() -> None:
    """Names like `AccountWork.planned`, `after_ping` or `PRECEDENCE` stand in the code as definitions or attributes."""
    words = set(
        re.findall(
            r"\w+",
            "\n".join(
                path.read_text()
                for path in [*(ROOT / "orchestrator").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
            ),
        )
    )
    named = re.findall(r"`(\w+(?:\.\w+)*)`", (ROOT / "ARCHITECTURE.md").read_text())
    assert [name for name in named if not set(name.split(".")) <= words] == []
