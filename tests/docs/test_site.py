"""The site: what its index says, and that a link which leads nowhere is found."""

from pathlib import Path

import pytest

from tests.tools.site import ROOT, dead_links, first_sentence, llms_txt, navigation


def test_the_index_for_language_models_has_a_sentence_for_each_page() -> None:
    index = llms_txt()
    lines = [line for line in index.splitlines() if line.startswith("- ")]
    places = [place for _, section in navigation() for _, place in section]
    assert index.startswith("# session-orchestrator\n\n> ")
    assert [line.partition("](")[2].partition(")")[0] for line in lines] == places
    assert all(len(line.partition("): ")[2].split()) > 5 for line in lines)
    assert all((ROOT / place).is_file() for place in places)


def test_the_index_says_what_a_page_is_about_where_it_begins_with_a_link(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n![picture](a.png)\n\n[`a.yaml`](a.yaml) runs all of it on one machine. It is short.\n\nMore of it.\n"
    )
    assert first_sentence(page) == "`a.yaml` runs all of it on one machine."


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        pytest.param("b.html#part", False, id="a page"),
        pytest.param("folder/", False, id="a folder with a page"),
        pytest.param("/b.html", False, id="from the root"),
        pytest.param("#top", False, id="the page itself"),
        pytest.param("https://example.com/x", False, id="elsewhere"),
        pytest.param("mailto:a@example.com", False, id="mail"),
        pytest.param("c.html", True, id="no page"),
        pytest.param("empty/", True, id="a folder without one"),
    ],
)
def test_a_dead_link_is_found(tmp_path: Path, link: str, dead: bool) -> None:
    for folder in ("folder", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "folder" / "index.html").write_text("")
    (tmp_path / "b.html").write_text("")
    (tmp_path / "a.html").write_text(f'<p><a href="{link}">x</a></p>')
    assert list(dead_links(tmp_path)) == ([f"{link} in a.html"] if dead else [])


def test_a_dead_link_of_the_index_is_found(tmp_path: Path) -> None:
    (tmp_path / "here.md").write_text("")
    (tmp_path / "llms.txt").write_text("# A\n\n- [Here](here.md): a page.\n- [Gone](docs/gone.md): none.\n")
    assert list(dead_links(tmp_path)) == ["docs/gone.md in llms.txt"]
