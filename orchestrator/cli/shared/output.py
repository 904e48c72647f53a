"""How commands print: JSON for programs and tables for people on stdout, everything else on stderr.

Names, reasons and answers come from others. Each text is escaped here, so that none can move a terminal's cursor or
reorder a line. No other module of the command line prints. What formats is imported when something is formatted:
`--version` needs none of it."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from orchestrator.rules.text import csv_cell, escape, escape_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Columns of a table that no terminal bounds, so that what reads it finds a row on a line.
_WIDE = 400
#: What a file answers that takes no more.
_FULL = frozenset({"ENOSPC", "EDQUOT", "EFBIG", "EIO"})
#: Variables by which rich takes a file for a terminal.
_ASKS_FOR_COLOURS = frozenset({"FORCE_COLOR", "TTY_COMPATIBLE"})
_all_columns = False


def print_json(value: Any) -> None:
    """Print a JSON object or array."""
    import json

    print(escape_json(json.dumps(value, indent=2, ensure_ascii=False)))


def print_json_line(value: Any) -> None:
    """Print one object on one line, for outputs that never end."""
    import json

    print(escape_json(json.dumps(value, ensure_ascii=False)), flush=True)


def print_line(line: str) -> None:
    """Print one line of plain text; a line break in it is escaped too."""
    print(escape(line).replace("\n", "\\n"), flush=True)


def print_text(text: str) -> None:
    """Print plain text of several lines, such as sample code."""
    print(escape(text), flush=True)


def print_table_as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a heading and one line for each row, the named columns only."""
    import csv

    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: csv_cell(value) for key, value in row.items()})


def show(*parts: "RenderableType") -> None:
    """Print tables and texts for people."""
    for part in parts:
        lines = _plain_lines(part)
        if lines is None:
            console_of(stderr=False).print(escape(part) if isinstance(part, str) else part)
        else:
            print("\n".join(lines))


def say(line: str) -> None:
    """Print a line on stderr."""
    print(escape(line), file=sys.stderr, flush=True)


def say_json(value: Any) -> None:
    """Print one object on one line of stderr."""
    import json

    print(escape_json(json.dumps(value, ensure_ascii=False, default=str)), file=sys.stderr, flush=True)


def finish_output() -> None:
    """Write what is still buffered.

    If that fails, discard it, for the interpreter would complain. Say nothing if the reader has closed its pipe;
    otherwise raise OSError."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            _finish(stream)


def is_full(error: OSError) -> bool:
    """Return whether the error means that the output's target is full."""
    import errno

    return errno.errorcode.get(error.errno or 0) in _FULL


def _finish(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise


def money_of(row: Mapping[str, Any], field: str) -> str:
    """Return an amount of the row with the row's currency."""
    return f"{row[field]} {row['currency']}"


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Say on a terminal what the command waits for."""
    console = console_of(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def print_wide(*, wanted: bool) -> None:
    """Choose whether tables show all that they have, however narrow the terminal is."""
    global _all_columns
    _all_columns = wanted


@contextmanager
def advancing(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal; yield what moves it on by one."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = console_of(stderr=True)
    columns = TextColumn(escape(what)), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def console_of(*, stderr: bool = False) -> "Console":
    """Return a console that takes no text for markup, since names and answers come from others."""
    from rich.console import Console

    width = None if (sys.stderr if stderr else sys.stdout).isatty() else _named_width()
    width = _WIDE if _all_columns and not stderr else width
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def _plain_lines(part: Any) -> Sequence[str] | None:
    """Return the lines of a table that needs neither colours nor breaks; None for anything else."""
    encodes_all = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    if (
        not hasattr(part, "lines")
        or sys.stdout.isatty()
        or _ASKS_FOR_COLOURS & {*os.environ}
        or not encodes_all
    ):
        return None
    return cast(Sequence[str] | None, part.lines(_WIDE if _all_columns else _named_width()))


def _named_width() -> int:
    """Return the width that the environment names for what is no terminal."""
    named = os.environ.get("COLUMNS", "")
    return int(named) if named.isdecimal() and int(named) > 0 else _WIDE
