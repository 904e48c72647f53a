"""`make bench-quick` fails on a ratio that lost more than 30 %, and on nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import report, results, sizing
from tests.bench.compare import losses
from tests.bench.figures import Basis, Better, Figure
from tests.bench.results import Results
from tests.bench.sizes import Size

PINGS = Figure(name="pings/bare", title="pings ÷ bare client", value=0.8, must=0.7, goal=1.0)
STATEMENTS = Figure(
    name="pings/statements", title="statements", value=10, basis=Basis.STATEMENTS, better=Better.LESS
)
STOPS = Figure(name="stops/cpu", title="stops", value=600, unit="/CPU-s", must=600, goal=1500)
LIST = Figure(name="startup/list", title="list", value=0.5, unit="CPU-s", better=Better.LESS)


def a_run(*figures: Figure, yardstick: float = 0.1) -> Results:
    machine = dict.fromkeys(
        ("commit", "at", "cpu", "cores", "load", "memory_gib", "kernel", "python", "postgresql"), "x"
    )
    return Results(
        machine=machine, scale=0.1, rounds=1, seconds={"pings": 1.0}, yardstick=yardstick, figures=figures
    )


def lost(before: Figure, now: Figure, *, yardsticks: tuple[float, float] = (0.1, 0.1)) -> list[str]:
    was, is_now = (a_run(one, yardstick=yard) for one, yard in zip((before, now), yardsticks, strict=True))
    return [loss.name for loss in losses(was, is_now)]


@pytest.mark.parametrize(
    ("figure", "value", "is_lost"),
    [
        (PINGS, 0.57, False),
        (PINGS, 0.55, True),
        (PINGS, 2.0, False),
        (STATEMENTS, 12.9, False),
        (STATEMENTS, 13.1, True),
        (STATEMENTS, 1.0, False),
        (replace(STATEMENTS, basis=Basis.ROWS), 13.1, True),
        (replace(STATEMENTS, basis=Basis.WALL), 1000.0, False),
        (replace(STATEMENTS, basis=Basis.MEMORY), 1000.0, False),
        (replace(STATEMENTS, value=0.0), 1.0, True),
        (replace(STATEMENTS, value=0.0), 0.0, False),
    ],
)
def test_a_ratio_may_lose_less_than_a_third(figure: Figure, value: float, is_lost: bool) -> None:
    assert bool(lost(figure, replace(figure, value=value))) is is_lost


@pytest.mark.parametrize(
    ("figure", "value", "yardstick", "is_lost"),
    [
        (STOPS, 300, 0.2, False),
        (STOPS, 300, 0.1, True),
        (STOPS, 600, 0.05, False),
        (LIST, 1.0, 0.2, False),
        (LIST, 1.0, 0.1, True),
    ],
)
def test_a_slower_machine_loses_nothing(
    figure: Figure, value: float, yardstick: float, is_lost: bool
) -> None:
    found = lost(figure, replace(figure, value=value), yardsticks=(0.1, yardstick))
    assert bool(found) is is_lost


def test_a_new_figure_is_no_loss() -> None:
    assert list(losses(a_run(PINGS), a_run(PINGS, STATEMENTS))) == []


def test_a_loss_says_both_values() -> None:
    (loss,) = losses(a_run(PINGS), a_run(replace(PINGS, value=0.4)))
    assert str(loss) == "pings/bare: 0.8 before, 0.4 now, 50% worse"


def test_a_kept_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = a_run(replace(PINGS, absolute={"pings per CPU-s": 862.0}), STOPS)
    results.write(run, tmp_path / "run.json")
    assert results.read(tmp_path / "run.json") == run


def test_lines_that_were_run_alone_replace_only_their_own_figures() -> None:
    joined = a_run(PINGS, STOPS).joined(a_run(replace(PINGS, value=0.9)))
    assert {one.name: one.value for one in joined.figures} == {"stops/cpu": 600, "pings/bare": 0.9}


def test_the_table_says_which_limits_are_kept() -> None:
    table = report.markdown(a_run(PINGS, replace(STOPS, value=121), STATEMENTS))
    assert "| pings ÷ bare client | - | 0.8 | 0.7 | 1 | yes |" in table
    assert "| stops | - | 121 /CPU-s | 600 | 1,500 | **no** |" in table
    assert "| statements | - | 10 | - | - | - |" in table


def test_the_plot_has_a_bar_for_each_limit() -> None:
    image = report.plot([PINGS, STATEMENTS, STOPS])
    assert image.count("<rect x=") == 2
    assert "pings/bare" in image
    assert "pings/statements" not in image


def test_sizing_follows_from_what_a_ping_takes() -> None:
    took = {"pings per CPU-s": 500.0, "CPU-ms of PostgreSQL for a ping": 0.3}
    pings = replace(PINGS, name="pings/bare-2000", absolute=took)
    claims = replace(
        PINGS, name="claims/cpu", absolute={"MiB of the database": 1024.0, "sessions": 1_000_000}
    )
    needs = {one.sessions: one for one in sizing.needs(a_run(pings, claims))}
    assert needs[10_000].ping_processes == 2  # 333 pings/s of 500 x 0.6
    assert needs[1_000_000].ping_processes == 112
    assert needs[1_000_000].server_cores == pytest.approx(16.7, abs=0.1)
    assert needs[1_000_000].gigabytes == pytest.approx(1.0)
    assert "| 10,000 | 333 | 2 |" in sizing.markdown(a_run(pings, claims))


def test_without_its_figures_sizing_says_nothing() -> None:
    assert sizing.needs(a_run(PINGS)) == []


def test_the_page_shows_the_larger_run_first_and_sizing_last() -> None:
    took = {"pings per CPU-s": 500.0, "CPU-ms of PostgreSQL for a ping": 0.3}
    pings = replace(PINGS, name="pings/bare-2000", absolute=took)
    claims = replace(
        PINGS, name="claims/cpu", absolute={"MiB of the database": 1024.0, "sessions": 1_000_000}
    )
    text = report.page({"full": a_run(pings, claims), "quick": a_run(STOPS)})
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == ["## The full run", "## The quick run", "## Sizing"]
    assert "![each figure beside its limit](full.svg)" in text


@pytest.mark.parametrize(("second", "code"), [(0.8, 0), (0.4, 1)])
def test_what_lost_is_measured_again_and_fails_only_if_it_lost_again(
    second: float, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, again = a_run(replace(PINGS, value=0.4), STOPS), a_run(replace(PINGS, value=second))
    runs = iter([first, again, again])
    asked: list[Sequence[str]] = []

    def measure(names: Sequence[str], _size: Size) -> tuple[Sequence[str], Results]:
        asked.append(names)
        return [], next(runs)

    results.write(a_run(PINGS, STOPS), tmp_path / "quick.json")
    monkeypatch.setattr(bench, "DOCS", tmp_path)
    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "end_servers_on_sigterm", lambda: None)
    assert bench.main(["pings", "stops", "--quick", "--compare"]) == code
    assert asked == [["pings", "stops"], ["pings"], ["pings"]][: 2 + code]


def test_a_figure_that_reaches_its_goal_has_not_lost() -> None:
    assert lost(replace(PINGS, value=1.6), replace(PINGS, value=1.0)) == []
    assert lost(replace(PINGS, value=1.6), replace(PINGS, value=0.99)) == ["pings/bare"]


def test_lines_that_could_not_be_measured_are_tried_again() -> None:
    assert bench.suspects([], ["closes: no answer: in vain"]) == ["closes"]
