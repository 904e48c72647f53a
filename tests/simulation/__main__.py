"""`make simulation SEEDS=1000` and `make crash-points`: many worlds over several processes, and a report."""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.simulation.coverage import unvisited
from tests.simulation.crash_stories import STORIES
from tests.simulation.crashes import StoryRun
from tests.simulation.day import Result
from tests.simulation.player import play, run_story
from tests.simulation.turns import first_seed, sampled


def main() -> int:
    """Run the command line; return exit code 1 where something does not hold."""
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("what", choices=("seeds", "crash-points"))
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, help="the first seed; with --seeds 1 it is replayed")
    parser.add_argument(
        "--every", type=int, default=1, help="every n-th crash point, besides one of each kind"
    )
    parser.add_argument("--kinds", type=int, default=1, help="of every n-th kind of point one, in turns")
    parser.add_argument("--turn", type=int, default=0, help="another number tries another share of all")
    parser.add_argument("--story", default="", help="only stories with this in their name")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--report", type=Path, help="write the report here as well (Markdown)")
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what a seed says
        os.execve(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], _environment())
    with tempfile.TemporaryDirectory(dir=_fast()) as directory:
        report, broken = (
            _seeds(given, directory) if given.what == "seeds" else _crash_points(given, directory)
        )
    sys.stdout.write(f"\n{report}\nTurn {given.turn}; TURN={given.turn} repeats it.\n")
    if given.report is not None:
        given.report.write_text(report)
    return int(broken)


def _seeds(given: argparse.Namespace, directory: str) -> tuple[str, bool]:
    begun, results = time.monotonic(), []
    first = given.first or first_seed(given.turn, given.seeds)
    seeds = range(first, first + given.seeds)
    for result in _spread(given.jobs, partial(play, directory), seeds):
        results.append(result)
        _progress(len(results), given.seeds, sum(bool(one.violations) for one in results))
        _print_result(result, alone=given.seeds == 1)
    broken = [result for result in results if result.violations]
    return _report_of_seeds(results, time.monotonic() - begun), bool(broken)


def _crash_points(given: argparse.Namespace, directory: str) -> tuple[str, bool]:
    begun = time.monotonic()
    stories = [n for n, story in enumerate(STORIES) if given.story in story.name]
    whole = list(_spread(given.jobs, partial(run_story, directory), [(n, None) for n in stories]))
    for story_run in (one for one in whole if one.broken):
        _show(f"{story_run.story}, without a crash", story_run.broken, story_run.last)
    story_runs = {story_run.story: story_run for story_run in whole}
    wanted = [
        (n, at)
        for n in stories
        for at in sampled(story_runs[STORIES[n].name].points, given.every, given.turn + n, given.kinds)
    ]
    crashed: list[StoryRun] = []
    for story_run in _spread(given.jobs, partial(run_story, directory), wanted):
        crashed.append(story_run)
        _progress(len(crashed), len(wanted), sum(bool(one.broken) for one in crashed))
        if story_run.broken:
            _show(
                f"{story_run.story}, crash {story_run.at} ({story_run.where})",
                story_run.broken,
                story_run.last,
            )
    missed = [] if given.story else unvisited([*whole, *crashed])
    broken = any(story_run.broken for story_run in [*whole, *crashed]) or bool(missed)
    return _report_of_crashes(whole, crashed, missed, time.monotonic() - begun), broken


def _spread(jobs: int, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Spread the items over processes; yield results in their order."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, items, chunksize=1)


def _print_result(result: Result, *, alone: bool) -> None:
    if result.violations or alone:
        again = f"python -m tests.simulation seeds --seeds 1 --first {result.seed}"
        name = f"seed {result.seed} ({result.flavours or 'platforms only'}), digest {result.digest}; again: {again}"
        _show(name, result.violations, result.last)


def _show(name: str, broken: list[str], last: list[str]) -> None:
    lines = [f"\n{name}", "  its last steps:", *(f"    {line[:180]}" for line in last[-40:])]
    lines += [f"  BROKEN {line}" for line in broken[:12]]
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()


def _progress(done: int, total: int, broken: int) -> None:
    if sys.stderr.isatty() or done % 25 == 0 or done == total:
        end = "\r" if sys.stderr.isatty() and done < total else "\n"
        sys.stderr.write(f"{done} of {total}, {broken} broken{end}")
        sys.stderr.flush()


def _report_of_seeds(results: list[Result], seconds: float) -> str:
    faults: Counter[str] = sum((result.faults for result in results), Counter())
    bad = sum(len(result.violations) for result in results)
    rows = (
        ("seeds", f"{len(results)}, {results[0].seed} to {results[-1].seed}"),
        ("simulated hours", f"{sum(result.hours for result in results):.0f}"),
        ("sessions", sum(result.sessions for result in results)),
        ("sessions opened at platforms", sum(result.opens for result in results)),
        ("closes", sum(result.closes for result in results)),
        ("jobs", sum(result.jobs for result in results)),
        ("faults injected", sum(faults.values())),
        ("violations", bad),
        (
            "seconds, of processor per seed",
            f"{seconds:.0f}, {sum(r.cpu for r in results) / max(1, len(results)):.2f}",
        ),
    )
    lines = ["# Simulation", "", "| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)]
    lines += [
        "",
        "| fault | times |",
        "|---|---:|",
        *(f"| {name} | {n} |" for name, n in faults.most_common()),
    ]
    if bad:
        lines += ["", f"Broken seeds: {', '.join(str(r.seed) for r in results if r.violations)}"]
    return "\n".join(lines) + "\n"


def _report_of_crashes(
    whole: list[StoryRun], crashed: list[StoryRun], missed: list[str], seconds: float
) -> str:
    bad = [story_run for story_run in [*whole, *crashed] if story_run.broken]
    rows = (
        ("stories", len(whole)),
        ("points", sum(len(story_run.points) for story_run in whole)),
        ("kinds of point", len({point for story_run in whole for point in story_run.points})),
        ("crashes", len(crashed)),
        ("commits and questions to drivers that no story visits", len(missed)),
        ("violations", sum(len(story_run.broken) for story_run in bad)),
        ("seconds", f"{seconds:.0f}"),
    )
    lines = ["# Crash points", "", "| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)]
    lines += [f"\nNot visited: {name}" for name in missed]
    lines += [f"\nBroken: {story_run.story}, crash {story_run.at}" for story_run in bad]
    return "\n".join(lines) + "\n"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": "0"}


def _fast() -> str | None:
    """Return a directory in memory, where there is such a file system."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
