"""A run in words, as a Markdown table, and as a plot."""

from collections.abc import Mapping, Sequence
from html import escape

from tests.bench import sizing
from tests.bench.figures import Better, Figure
from tests.bench.numbers import number
from tests.bench.results import Results

_HEAD = ("figure", "peer", "today", "must", "goal", "met?")
#: Of the plot, in pixels.
_ROW, _LEFT, _WIDTH, _RIGHT = 22, 330, 420, 130
_MOST = 2.0


def in_words(figure: Figure) -> str:
    """Return a figure in a few lines."""
    said = f"{figure.name}: {_with_unit(figure, figure.value)}"
    if figure.must is not None:
        said += f"  ({'met' if figure.met else 'missed'}: must {figure.must:g}, goal {figure.goal:g})"
    absolute = "; ".join(f"{name} {number(value)}" for name, value in figure.absolute.items())
    return "\n    ".join(filter(None, (said, figure.title, absolute)))


def markdown(results: Results) -> str:
    """Return the table, with what it was measured on, and the absolute numbers below it."""
    on = results.machine
    lines = [
        f"Commit `{on['commit'][:12]}`, {on['at']}; {on['cores']} cores of {on['cpu']}, {on['memory_gib']} GiB,"
        f" kernel {on['kernel']}, load {on['load']} at the beginning; Python {on['python']}, PostgreSQL"
        f" {on['postgresql']}; scale {results.scale:g}, {results.rounds} rounds.",
        "",
        "| " + " | ".join(_HEAD) + " |",
        "|---|---|---|---|---|---|",
        *(_row(figure) for figure in results.figures),
        "",
        "| figure | what was measured |",
        "|---|---|",
        *(f"| `{one.name}` | {_absolute(one)} |" for one in results.figures if one.absolute),
    ]
    return "\n".join(lines) + "\n"


def page(kept: Mapping[str, Results]) -> str:
    """Return the page of all kept runs, the one that sizing is derived from first."""
    parts = ["# Figures", "Written by `python -m tests.bench … --keep`; [how to read it](README.md)."]
    for name, one in kept.items():
        parts += [f"## The {name} run", f"![each figure beside its limit]({name}.svg)", markdown(one)]
    sized = next((one for one in kept.values() if sizing.needs(one)), None)
    parts += ["## Sizing", sizing.markdown(sized)] if sized else []
    return "\n\n".join(part.strip() for part in parts) + "\n"


def plot(figures: Sequence[Figure]) -> str:
    """Return an SVG image: each figure that has a limit as a bar, 1 being the limit; longer is better."""
    limited = [one for one in figures if one.must]
    height = _ROW * (len(limited) + 1) + 10
    unit = _LEFT + _WIDTH / _MOST
    bars = "\n".join(_bar(n, one) for n, one in enumerate(limited))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="{height}"'
        ' font-family="sans-serif" font-size="12">\n'
        '<rect width="100%" height="100%" fill="white"/>\n'
        f'<line x1="{unit:g}" y1="0" x2="{unit:g}" y2="{height - _ROW}" stroke="black" stroke-dasharray="3"/>\n'
        f'<text x="{unit:g}" y="{height - 8}" text-anchor="middle">must</text>\n{bars}\n</svg>\n'
    )


def _row(figure: Figure) -> str:
    must = "-" if figure.must is None else number(figure.must)
    goal = "-" if figure.goal is None else number(figure.goal)
    met = {True: "yes", False: "**no**", None: "-"}[figure.met]
    cells = (figure.title, figure.peer or "-", _with_unit(figure, figure.value), must, goal, met)
    return "| " + " | ".join(cells) + " |"


def _absolute(figure: Figure) -> str:
    return "; ".join(f"{name} {number(value)}" for name, value in figure.absolute.items())


def _with_unit(figure: Figure, value: float) -> str:
    return number(value) if figure.unit == "x" else f"{number(value)} {figure.unit}"


def _bar(n: int, figure: Figure) -> str:
    assert figure.must
    kept = (
        figure.value / figure.must if figure.better is Better.MORE else figure.must / max(figure.value, 1e-9)
    )
    length, y = min(kept, _MOST) / _MOST * _WIDTH, n * _ROW + 6
    colour = "#2a7" if figure.met else "#c43"
    return (
        f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(figure.name)}</text>'
        f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_ROW - 6}" fill="{colour}"/>'
        f'<text x="{_LEFT + length + 6:.1f}" y="{y + 12}">{escape(_with_unit(figure, figure.value))}</text>'
    )
