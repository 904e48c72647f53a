"""Tables for people: rows under headings, and names with values."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.fitting import Column, Fitted, Forms
from orchestrator.rules.text import escape

if TYPE_CHECKING:
    from rich.console import RenderableType


def table(
    columns: Sequence[str | Column],
    rows: Iterable[Sequence[Any]],
    title: str | None = None,
    marked: int | None = None,
) -> "RenderableType":
    """Return rows under headings, which fit into the width they are printed in. What is left out is named below.
    `marked`: the place of a row that stands out."""
    return Fitted(columns, rows, title, marked, hint="--wide shows all" if marked is None else None)


def pairs(rows: Iterable[tuple[str, Any]]) -> "RenderableType":
    """Return two columns: name and value. Leave out names without a value."""
    from rich.table import Table

    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value not in (None, "", {}, []):
            made.add_row(name, _cell(value))
    return made


def coloured(text: str, style: str) -> "RenderableType":
    """Return the text in a style, on terminals that have styles."""
    return Forms((text,), style)


def _cell(value: Any) -> Any:
    return value if hasattr(value, "__rich_console__") or hasattr(value, "__rich__") else escape(str(value))
