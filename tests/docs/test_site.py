"""The site: what its index says, and that a link which leads nowhere is found."""

from pathlib import Path

import pytest

from tests.tools.site import ROOT, dead_links, llms_txt, navigation


def test_the_index_for_language_models_has_a_sentence_for_each_page() -> None:
    index = llms_txt()
    lines = [line for line in index.splitlines() if line.startswith("- ")]
    places = [place for _, section in navigation() for _, place in section]
    assert index.startswith("# session-orchestrator\n\n> ")
    assert [line.partition("](")[2].partition(")")[0] for line in lines] == places
    assert all(len(line.partition("): ")[2].split()) > 5 for line in lines)
    assert all((ROOT / place).is_file() for place in places)


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
