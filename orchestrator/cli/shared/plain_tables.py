"""A table as rich prints it into a file, without rich: it takes longer to draw a page of rows than a query takes."""

from collections.abc import Sequence

_GAP, _EDGE = "  ", " "
#: Beyond ASCII, what tables of ours contain. Of other letters, only rich knows the width.
_NARROW = frozenset("…✓✗·€")


def plain_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Sequence[str] | None:
    """Return the lines of a table; None if it does not fit, if a column is empty, or if a cell is more than a
    line of narrow letters."""
    if not rows:
        return ["none"]
    if not all(_is_plain(text) for row in (columns, *rows) for text in row):
        return None
    wide = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    inner = sum(wide) + len(_GAP) * (len(wide) - 1)
    if inner + 2 * len(_EDGE) > width or not all(wide):
        return None
    blank, rule = _EDGE + " " * inner + _EDGE, _EDGE + "─" * inner + _EDGE
    return [blank, _line(columns, wide), rule, *(_line(row, wide) for row in rows), blank]


def _is_plain(text: str) -> bool:
    return text.isprintable() and (text.isascii() or all(one.isascii() or one in _NARROW for one in text))


def _line(texts: Sequence[str], wide: Sequence[int]) -> str:
    return _EDGE + _GAP.join(text.ljust(room) for text, room in zip(texts, wide, strict=True)) + _EDGE
