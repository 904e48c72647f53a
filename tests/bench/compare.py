"""What has become worse since the committed run. Wall-clock times and memory are not compared."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.figures import Basis, Better, Figure
from tests.bench.results import Results

#: The share by which a ratio may worsen: as much is noise on a busy machine.
TOLERATED = 0.30
_COMPARED = {Basis.CPU, Basis.STATEMENTS, Basis.ROWS}


@dataclass(frozen=True, slots=True)
class Loss:
    """A figure that has become worse by more than is tolerated."""

    name: str
    before: float
    now: float
    share: float

    def __str__(self) -> str:
        return f"{self.name}: {self.before:.3g} before, {self.now:.3g} now, {self.share:.0%} worse"


def losses(before: Results, now: Results) -> Iterator[Loss]:
    """Yield each. A figure that only one of the two has is left out, and so is one that reaches its goal.
    What is counted in CPU-seconds must have lost in these, too: the yardstick is short, and other work disturbs it."""
    for figure in now.figures:
        known = before.figure(figure.name)
        if known is None or figure.basis not in _COMPARED or figure.reached:
            continue
        was, is_now = _plain(known, before.yardstick), _plain(figure, now.yardstick)
        share = min(_worse(figure.better, was, is_now), _worse(figure.better, known.value, figure.value))
        if share > TOLERATED:
            yield Loss(figure.name, was, is_now, share)


def _plain(figure: Figure, yardstick: float) -> float:
    """Return the figure as a ratio: CPU-seconds are counted in those of the machine's yardstick."""
    match figure.unit:
        case "/CPU-s":
            return figure.value * yardstick
        case "CPU-s":
            return figure.value / yardstick
        case _:
            return figure.value


def _worse(better: Better, was: float, now: float) -> float:
    """Return the share that was lost; below zero where it was gained."""
    if better is Better.MORE:
        return 1 - now / was if was else 0.0
    return now / was - 1 if was else float(now > 0)
