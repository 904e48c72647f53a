"""The check of the prose finds its words in sentences, and in no name."""

import io
import sys
import tokenize
from pathlib import Path

import pytest

from tests.tools.prose import LITERAL, ROOT, count, main, pattern

WORDS = pattern(["# a comment", "nobody", "who has it"])

SENTENCES = '''"""Return the lease, which
nobody holds."""
# It asks who
limit = 1  # "who has it" is one phrase
raise ValueError(f"{limit}: Nobody's turn")
'''
NAMES = '''"""Return `nobody` of a nobody_else, by nobody(), of rows.nobody and --nobody."""
nobody = rows["nobody"]
raise ValueError(f"the value is {nobody}")
'''
PAGE = """A page with `nobody` [in it](nobody.md).

```
nobody here
```

But here: nobody.
"""


def lines_found(path: Path, text: str) -> list[int]:
    path.write_text(text)
    return [hit.line for hit in count([path], WORDS).hits]


def test_a_word_in_a_sentence_is_found_on_its_line(tmp_path: Path) -> None:
    assert lines_found(tmp_path / "a.py", SENTENCES) == [2, 4, 5]


def test_a_word_in_a_name_is_not_found(tmp_path: Path) -> None:
    assert lines_found(tmp_path / "a.py", NAMES) == []


def test_a_page_is_read_without_its_code(tmp_path: Path) -> None:
    assert lines_found(tmp_path / "a.md", PAGE) == [7]


def test_the_rate_is_per_thousand_words(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("word " * 499 + "nobody")
    assert count([path], WORDS).rate == 2


def test_a_folder_with_too_many_fails_with_their_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "orchestrator").mkdir()
    for page in ("README.md", "ARCHITECTURE.md", "SECURITY.md"):
        (tmp_path / page).write_text("Plain words.\n")
    assert main(tmp_path) == 0
    (tmp_path / "README.md").write_text("Plain words.\nNobody reads this.\n")
    assert main(tmp_path) == 1
    assert capsys.readouterr().err == "README.md:2: Nobody\n"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="an f-string is several tokens from 3.12 on")
def test_literals_are_those_of_the_tokenizer() -> None:
    for path in (ROOT / "orchestrator" / "cli").glob("*.py"):
        source = path.read_text()
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        expected = [token.string for token in tokens if token.type in (tokenize.COMMENT, tokenize.STRING)]
        assert [found[0] for found in LITERAL.finditer(source)] == expected, path
