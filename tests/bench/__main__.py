"""Run lines of the table, or all of it.

python -m tests.bench NAME… [--quick] [--scale X] [--rounds N] [--json FILE]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import psycopg

from tests.bench import compare, machine, report, results
from tests.bench.figures import Figure
from tests.bench.results import Results
from tests.bench.run import Run, end_servers_on_sigterm, say
from tests.bench.servers import ServerMissing, counting_postgres
from tests.bench.sizes import FULL, QUICK, Size

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks"
#: The runs that are kept, the larger one first.
KEPT = ("full.json", "quick.json")
#: What lost, or could not be measured, is measured so often again.
AGAIN = 2
#: In the order in which they are run.
LINES = (
    "pings",
    "tasks",
    "stops",
    "closes",
    "creates",
    "interactions",
    "keys",
    "startup",
    "memory",
    "claims",
    "overload",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lines that were named, and print their figures."""
    chosen = _parser().parse_args(arguments)
    end_servers_on_sigterm()
    plain = QUICK if chosen.quick else FULL
    size = Size(scale=chosen.scale or plain.scale, rounds=chosen.rounds or plain.rounds)
    names = LINES if chosen.lines == ["all"] else chosen.lines
    try:
        faults, found = measure(names, size)
    except ServerMissing as error:
        say(str(error))
        return 2
    for figure in found.figures:
        say(report.in_words(figure))
    kept = DOCS / KEPT[chosen.quick]
    lost = list(compare.losses(results.read(kept), found)) if chosen.compare else []
    for _ in range(AGAIN):
        if not lost and not faults:
            break
        say("measured again: other work on this machine may have come between")
        faults, again = measure(suspects(lost, faults), size)
        still = {loss.name for loss in compare.losses(results.read(kept), again)} if lost else set()
        lost = [loss for loss in lost if loss.name in still]
    for loss in lost:
        say(f"LOSS  {loss}")
    if chosen.keep:
        keep(found, kept)
    return int(bool(lost or faults))


def suspects(lost: Sequence[compare.Loss], faults: Sequence[str]) -> Sequence[str]:
    """Return the lines that lost something, or could not be measured."""
    named = {loss.name.partition("/")[0] for loss in lost} | {fault.partition(":")[0] for fault in faults}
    return [name for name in LINES if name in named]


def keep(found: Results, path: Path) -> None:
    """Write the figures, and the page that shows all kept ones. Those of lines that were not run are left as they
    are."""
    every = results.read(path).joined(found) if path.exists() else found
    results.write(every, path)
    path.with_suffix(".svg").write_text(report.plot(every.figures))
    kept = {one.stem: results.read(one) for one in (path.with_name(name) for name in KEPT) if one.exists()}
    (path.parent / "figures.md").write_text(report.page(kept))


def measure(names: Sequence[str], size: Size) -> tuple[Sequence[str], Results]:
    """Run these lines on servers of their own; return what could not be measured, and the figures."""
    figures: list[Figure] = []
    seconds: dict[str, float] = {}
    yardstick = machine.yardstick()
    with (
        tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as directory,
        counting_postgres() as (server, postgres),
    ):
        run = Run(Path(directory), server, postgres, size)
        on = machine.describe(postgres_version(postgres.uri))
        for name in names:
            begun = time.monotonic()
            figures += _measured(name, run)
            seconds[name] = round(time.monotonic() - begun, 1)
    return run.faults, Results(
        machine=on,
        scale=size.scale,
        rounds=size.rounds,
        seconds=seconds,
        yardstick=yardstick,
        figures=figures,
    )


def _measured(name: str, run: Run) -> Iterator[Figure]:
    """Yield the figures of a line. One that cannot be measured costs no other line its figures."""
    try:
        yield from import_module(f"tests.bench.lines.{name}").measure(run)
    except AssertionError as error:
        say(f"FAULT  {name}: {error}")
        run.faults.append(f"{name}: {error}")


def postgres_version(uri: str) -> str:
    """Return the version of the server."""
    with psycopg.connect(uri) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    return str(row[0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("lines", nargs="+", choices=[*LINES, "all"])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, one round")
    parser.add_argument("--scale", type=float)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--keep", action="store_true", help="write the figures into docs/benchmarks")
    parser.add_argument("--compare", action="store_true", help="fail where a ratio lost more than 30 %%")
    return parser


if __name__ == "__main__":
    sys.exit(main())
