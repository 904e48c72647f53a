"""A place is found by names and syntax: where it stands and how it is laid out do not matter, doubt is an error."""

from pathlib import Path
from textwrap import dedent

import pytest
from rich.console import Console

from tests.mutations.finder import Misplaced, apply, find
from tests.mutations.kinds import Defect, Edit
from tests.mutations.runner import check

ADD = """
    LIMITS = {1: "é", 2: "f"}

    class Books:
        def add(self, first: int, second: int) -> int:
            # a comment of any length
            total = (first
                     + second)  # here too
            return total

        def later(self) -> object:
            def add(first: int, second: int) -> int:
                return first - second
            return add
"""


def written(tmp_path: Path, **files: str) -> Path:
    """Write these modules of a package, and return the tree."""
    (tmp_path / "orchestrator").mkdir()
    for name, text in files.items():
        (tmp_path / "orchestrator" / f"{name}.py").write_text(dedent(text))
    return tmp_path


def changed(tree: Path, within: str, sound: str, broken: str, beside: str | None = None) -> str:
    """Break the code, and return the file in which it is."""
    place = find(within, tree, beside=beside).path
    apply(Edit(within=within, sound=sound, broken=broken, beside=beside), tree)
    return place.read_text()


def test_layout_comments_and_brackets_do_not_matter(tmp_path: Path) -> None:
    text = changed(written(tmp_path, books=ADD), "Books.add", "total = first + second", "total = first")
    assert "        total = first  # here too\n        return total\n" in text


@pytest.mark.parametrize("file", ["books", "elsewhere"])
def test_a_function_is_found_in_whichever_file_it_is(tmp_path: Path, file: str) -> None:
    tree = written(tmp_path, **{"other": "total = 1\n", file: ADD})
    assert "return -total" in changed(tree, "Books.add", "return total", "return -total")


def test_a_function_within_a_method_has_its_own_name(tmp_path: Path) -> None:
    text = changed(written(tmp_path, books=ADD), "Books.later.add", "first - second", "second")
    assert "return (second)" in text


def test_a_constant_is_a_place_and_bytes_are_counted(tmp_path: Path) -> None:
    text = changed(written(tmp_path, books=ADD), "LIMITS", '"f"', '"g" if 1 else "h"')
    assert 'LIMITS = {1: "é", 2: ("g" if 1 else "h")}' in text


def test_an_expression_keeps_its_precedence(tmp_path: Path) -> None:
    tree = written(tmp_path, a="def f(x):\n    return not x.good\n")
    assert changed(tree, "f", "x.good", "x or 1") == "def f(x):\n    return not (x or 1)\n"


def test_statements_are_indented_like_those_that_they_replace(tmp_path: Path) -> None:
    tree = written(tmp_path, a="def f(x):\n    if x:\n        g()\n        h()\n    return 1\n")
    text = changed(tree, "f", "g()\nh()", "\n    if x > 1:\n        h()\n    g()\n")
    assert text == "def f(x):\n    if x:\n        if x > 1:\n            h()\n        g()\n    return 1\n"


def test_any_stands_for_whatever_expression_is_there(tmp_path: Path) -> None:
    tree = written(tmp_path, a="def f(q):\n    return q.a(\n        1\n    ).lock(True).first()\n")
    text = changed(tree, "f", "any_query.lock(True)", "any_query")
    assert text == "def f(q):\n    return ((q.a(\n        1\n    ))).first()\n"


def test_any_is_the_same_expression_each_time(tmp_path: Path) -> None:
    tree = written(tmp_path, a="def f(x, y):\n    return x < y or x < x\n")
    assert "return x < y or (False)" in changed(tree, "f", "any_one < any_one", "False")


def test_an_ambiguous_name_is_an_error_that_names_the_files(tmp_path: Path) -> None:
    tree = written(tmp_path, a="def f(): return 1\ndef only_here(): pass\n", b="def f(): return 1\n")
    with pytest.raises(Misplaced, match=r"f is ambiguous.*orchestrator/a\.py, orchestrator/b\.py.*`beside`"):
        changed(tree, "f", "return 1", "return 2")
    assert "return 2" in changed(tree, "f", "return 1", "return 2", beside="only_here")
    assert "return 2" not in (tree / "orchestrator" / "b.py").read_text()


@pytest.mark.parametrize(
    ("within", "sound", "broken", "said"),
    [
        pytest.param("Books.subtract", "total", "1", "defined nowhere", id="an unknown name"),
        pytest.param("total", "first + second", "1", "defined nowhere", id="a local variable"),
        pytest.param("Books.add", "first * second", "1", "occurs 0 times", id="code that is not there"),
        pytest.param("Books", "any_one + any_two", "any_three", "has no any_three", id="an unknown any"),
        pytest.param("Books", "first", "1", "occurs 2 times", id="code that is there twice"),
        pytest.param("Books.add", "return total", "return return", "is no Python", id="broken syntax"),
    ],
)
def test_what_does_not_fit_is_an_error_and_changes_nothing(
    tmp_path: Path, within: str, sound: str, broken: str, said: str
) -> None:
    tree = written(tmp_path, books=ADD)
    with pytest.raises(Misplaced, match=said):
        changed(tree, within, sound, broken)
    assert (tree / "orchestrator" / "books.py").read_text() == dedent(ADD)


def test_nothing_is_changed_within_an_f_string_where_positions_are_wrong(tmp_path: Path) -> None:
    tree = written(tmp_path, a='def f(x):\n    y = f"{x.a}"\n    return x.a, y\n')
    assert changed(tree, "f", "x.a", "1") == 'def f(x):\n    y = f"{x.a}"\n    return (1), y\n'


def test_a_defect_that_does_not_fit_is_not_found_and_ends_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit = Edit(within="no_such_function", sound="x", broken="y")
    lost = Defect(name="lost", what="nothing", edits=[edit], found_by=("pytest",), found_as="test")
    assert not check([lost], Console())
    assert "no_such_function is defined nowhere" in capsys.readouterr().out
