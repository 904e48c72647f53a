"""Make a table as wide as a terminal: shorten cells, then leave out columns, then crop. What formats is imported here
only when a table is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.plain_tables import plain_lines
from orchestrator.rules.text import escape

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

#: Between two columns, and at each edge of a table.
GAP, EDGE = 2, 1
#: A cropped cell has at least this many characters, a cell of prose has a line of at least this many.
_LEAST, _PROSE = 6, 18
#: As long as a generated id.
_ID = 36
#: How often all is shortened before anything is left out: each kind of cell has at most this many forms.
_FORMS = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, and what happens to the column where a terminal is too narrow."""

    name: str
    rank: int = 0
    """Columns with the highest rank are left out first; those with 0 never are."""
    prose: int = 0
    """The most lines of a cell, which is cut off after them; 0: one line."""
    whole: bool = False
    """Never cropped: longer ids than generated ones take a second line."""


@dataclass(frozen=True, slots=True)
class Forms:
    """A cell in several forms, the longest first."""

    texts: Sequence[str]
    style: str = ""

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(escape(self.texts[0]), style=self.style)


#: Of prose that is read to its end, such as what to do about a fault.
ALL_LINES = 1000


class Fitted:
    """Rows under headings, made to fit when they are printed."""

    def __init__(
        self,
        columns: Sequence[str | Column],
        rows: Iterable[Sequence[Any]],
        title: str | None = None,
        marked: int | None = None,
        hint: str | None = None,
    ) -> None:
        self._columns = [_column(n, one) for n, one in enumerate(columns)]
        self._cells = [list(row) for row in rows]
        self._title, self._marked, self._hint = title, marked, hint

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._cells:
            yield self._table(console, options)
        else:  # headings alone look like an output that was cut off
            yield "none" if self._title is None else f"\n{escape(self._title)}: none"

    def lines(self, width: int) -> Sequence[str] | None:
        """Return what rich prints if there are no colours; None if cells must be broken, shortened or left out.
        It takes a tenth of the time."""
        if self._title is not None:
            return None
        texts = [[plain_text(cell) for cell in row] for row in self._cells]
        return plain_lines([column.name for column in self._columns], texts, width)

    def _table(self, console: Console, options: ConsoleOptions) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        rows = [[_forms(cell) for cell in row] for row in self._cells]
        layout = fitted(self._columns, rows, options.max_width)
        made = Table(
            title=None if self._title is None else Text(f"\n{escape(self._title)}"),
            caption=self._left_out(layout),
            caption_justify="left",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        for n in layout.shown:
            made.add_column(Text(self._columns[n].name), width=layout.widths[n], overflow="fold")
        for place, row in enumerate(rows):
            cells = (self._cell(row[n], n, layout, console) for n in layout.shown)
            made.add_row(*cells, style="reverse" if place == self._marked else None)
        return made

    def _cell(self, cell: Sequence[Text], n: int, layout: Layout, console: Console) -> Text:
        text = _form(cell, layout.forms[n])
        most = max(self._columns[n].prose, 1)
        if self._columns[n].whole or most == ALL_LINES:
            return text
        return cut(text, layout.widths[n], most, console)

    def _left_out(self, layout: Layout) -> Text | None:
        from rich.text import Text

        seen = {*layout.shown, *layout.empty}
        left = [one.name for n, one in enumerate(self._columns) if n not in seen]
        if not left or self._hint is None:
            return None
        return Text(f" left out: {', '.join(left)} ({self._hint})", style="dim")


@dataclass(slots=True)
class Layout:
    """Which columns are shown, in which form, and how wide."""

    shown: list[int]
    forms: list[int]
    widths: list[int] = field(default_factory=list)
    empty: frozenset[int] = frozenset()


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[Sequence[Text]]], width: int) -> Layout:
    """Return the layout that shows most in this width: first columns without any value are left out, ids are shortened
    and cells take shorter forms, the least important first; then columns are left out; at last cells are cropped."""
    empty = frozenset(n for n in range(len(columns)) if rows and not any(row[n][0].plain for row in rows))
    layout = Layout(list(range(len(columns))), [0] * len(columns), empty=empty)
    least_first = sorted(layout.shown, key=lambda n: (columns[n].whole, columns[n].rank, n), reverse=True)
    ways = [(_leave_out, sorted(empty)), *[(_shorten, least_first)] * (_FORMS - 1), (_leave_out, least_first)]
    for narrow, n in ((way, n) for way, ns in ways for n in ns):
        if _needed(columns, rows, layout) <= width:
            break
        narrow(columns, rows, layout, n)
    layout.widths = [_natural(columns, rows, n, layout.forms[n]) for n in range(len(columns))]
    _spread(columns, layout, width)
    return layout


def cut(text: Text, width: int, most: int, console: Console) -> Text:
    """Return the text within this many lines, ending in … where some of it is left out."""
    from rich.text import Text

    lines = text.wrap(console, width, overflow="fold", no_wrap=most == 1)
    if len(lines) <= most and (most > 1 or text.cell_len <= width):
        return text
    kept = [*lines[: most - 1], _ended(lines[most - 1], width)]
    for line in kept:
        line.rstrip()
    return Text("\n", style=text.style).join(kept)


def _ended(line: Text, width: int) -> Text:
    line.truncate(max(width - 1, 1))
    line.rstrip()
    line.append("…")
    return line


def _leave_out(columns: Sequence[Column], _rows: Any, layout: Layout, n: int) -> None:
    """Leave out the column, if it may be and another stays."""
    if n in layout.shown and len(layout.shown) > 1 and (columns[n].rank > 0 or n in layout.empty):
        layout.shown.remove(n)


def _shorten(_columns: Sequence[Column], rows: Any, layout: Layout, n: int) -> None:
    """Take the column's next form, if it has one."""
    if any(len(row[n]) > layout.forms[n] + 1 for row in rows):
        layout.forms[n] += 1


def _needed(columns: Sequence[Column], rows: Any, layout: Layout) -> int:
    """Return the least width that shows every line of every cell."""
    cells = (_least(columns, rows, n, layout.forms[n]) for n in layout.shown)
    return sum(cells) + GAP * (len(layout.shown) - 1) + 2 * EDGE


def _least(columns: Sequence[Column], rows: Any, n: int, form: int) -> int:
    natural = _natural(columns, rows, n, form)
    if not columns[n].prose:
        return min(natural, _ID) if columns[n].whole else natural
    lines = min(columns[n].prose, 2)
    return min(natural, max(_PROSE, natural // lines + natural // 8))


def _natural(columns: Sequence[Column], rows: Any, n: int, form: int) -> int:
    from rich.cells import cell_len

    widest = max((max(map(cell_len, _form(row[n], form).plain.split("\n"))) for row in rows), default=0)
    return max(cell_len(columns[n].name), widest)


def _spread(columns: Sequence[Column], layout: Layout, width: int) -> None:
    """Set the widths: what is too much is taken from prose, then from cells that may be cropped, then from all."""
    room = width - GAP * (len(layout.shown) - 1) - 2 * EDGE
    prose = [n for n in layout.shown if columns[n].prose]
    whole = [n for n in layout.shown if columns[n].whole]
    others = [n for n in layout.shown if n not in prose and n not in whole]
    for group, least in ((prose, _PROSE), (whole, _ID), (others, _LEAST), (layout.shown, 1)):
        _take(layout, group, least, sum(layout.widths[n] for n in layout.shown) - room)


def _take(layout: Layout, group: Sequence[int], least: int, excess: int) -> None:
    """Take the excess from the widest of the group, one character at a time."""
    while excess > 0 and group:
        widest = max(group, key=lambda n: layout.widths[n])
        if layout.widths[widest] <= least:
            return
        layout.widths[widest] -= 1
        excess -= 1


def _column(n: int, column: str | Column) -> Column:
    """Return a column that has only a name: the first is copied, so it stays whole; all others fold."""
    return (
        column
        if isinstance(column, Column)
        else Column(column, whole=n == 0, prose=0 if n == 0 else ALL_LINES)
    )


def plain_text(cell: Any) -> str:
    """Return a cell's longest form, escaped."""
    return escape(cell.texts[0] if isinstance(cell, Forms) else str(cell))


def _forms(cell: Any) -> Sequence[Text]:
    from rich.text import Text

    if isinstance(cell, Text):
        return [cell]
    if isinstance(cell, Forms):
        return [Text(escape(text), style=cell.style) for text in cell.texts]
    return [Text(escape(str(cell)))]


def _form(cell: Sequence[Text], form: int) -> Text:
    return cell[min(form, len(cell) - 1)]
