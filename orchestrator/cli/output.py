"""How commands print: JSON for programs and tables for people on stdout, everything else on stderr.

Names, reasons and answers come from others. Each text is escaped here, so that none can move a terminal's cursor or
reorder a line. No other module of the command line prints."""

import csv
import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from orchestrator.rules.text import escape, escape_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Columns of a table that no terminal bounds, so that what reads it finds a row on a line.
_WIDE = 400
#: From so many columns on, a terminal is wide.
_ROOMY = 160
#: How texts begin that spreadsheets take for formulas, also in the wide letters of East Asian keyboards.
_FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
#: What a file answers that takes no more.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def print_json(value: Any) -> None:
    """Print a JSON object or array."""
    print(escape_json(json.dumps(value, indent=2, ensure_ascii=False)))


def print_json_line(value: Any) -> None:
    """Print one object on one line, for outputs that never end."""
    print(escape_json(json.dumps(value, ensure_ascii=False)), flush=True)


def print_line(line: str) -> None:
    """Print one line of plain text; a line break in it is escaped too."""
    print(escape(line).replace("\n", "\\n"), flush=True)


def print_text(text: str) -> None:
    """Print plain text of several lines, such as sample code."""
    print(escape(text), flush=True)


def print_table_as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a heading and one line for each row, the named columns only."""
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _csv_cell(value) for key, value in row.items()})


def show(*parts: "RenderableType") -> None:
    """Print tables and texts for people."""
    console = _console(stderr=False)
    for part in parts:
        console.print(escape(part) if isinstance(part, str) else part)


def say(line: str) -> None:
    """Print a line on stderr."""
    print(escape(line), file=sys.stderr, flush=True)


def finish_output() -> None:
    """Write what is still buffered.

    If that fails, discard it, for the interpreter would complain. Say nothing if the reader has closed its pipe;
    otherwise raise OSError."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            _finish(stream)


def is_full(error: OSError) -> bool:
    """Return whether the error means that the output's target is full."""
    return error.errno in _FULL


def _finish(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None
) -> "RenderableType":
    """Return rows under headings. The first column never wraps, so that it can be copied."""
    from rich import box
    from rich.table import Table

    title = None if title is None else f"\n{escape(title)}"
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for n, column in enumerate(columns):
        made.add_column(column, no_wrap=n == 0, overflow="fold")
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
    return made


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
    from rich.text import Text

    return Text(escape(text), style=style)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Say on a terminal what the command waits for."""
    console = _console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def is_wide() -> bool:
    """Return whether a line has room for secondary columns. A file always has."""
    return not sys.stdout.isatty() or shutil.get_terminal_size().columns >= _ROOMY


def _console(*, stderr: bool) -> "Console":
    """Return a console that takes no text for markup, since names and answers come from others."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def _csv_cell(value: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would run as a formula: such a text may come from others.
    Leave numbers as they are."""
    if not isinstance(value, str):
        return value
    cell = escape(value)
    is_formula = cell.lstrip().startswith(_FORMULAS) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def _cell(value: Any) -> Any:
    return value if hasattr(value, "__rich_console__") or hasattr(value, "__rich__") else escape(str(value))
