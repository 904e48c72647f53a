"""Drawings as SVG: lanes of a session's life, and lines over time. Colours and sizes are in the stylesheet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

from orchestrator.console.wording import clock, instant, span, tone, words

#: Units of a drawing's width and of a lane's height; the page scales them.
WIDTH, LANE, LINES = 1000, 20, 120
#: The narrowest that a span is drawn, so that it can be seen.
_NARROWEST = 3.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of a timeline."""

    label: str
    drawing: Markup


def life(known: Mapping[str, Any]) -> list[Lane]:
    """Return the lanes of a session's life: its states, its placements, and how its pings were."""
    scale = _Scale(_time(known["from"]), _time(known["until"]))
    lanes = [Lane("State", _lane("States", [_state(scale, one) for one in known["states"]]))]
    lanes += [
        Lane(f"Placement {one['n']}", _lane(f"Placement {one['n']}", list(_placement(scale, one))))
        for one in known["placements"]
    ]
    return [*lanes, Lane("Pings", _lane("Pings", [*_well(scale, known), *_doubts(scale, known)]))]


def line(points: Sequence[tuple[datetime, float]], label: str, kind: str = "calm") -> Markup:
    """Return a line over time, filled down to zero."""
    if len(points) < 2:
        return Markup("")
    scale = _Scale(points[0][0], points[-1][0])
    most = max(value for _, value in points) or 1.0
    places = [(scale.at(at), LINES - value / most * (LINES - 4)) for at, value in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    area = f"{places[0][0]:.1f},{LINES} {path} {places[-1][0]:.1f},{LINES}"
    return Markup(  # noqa: S704  (its parts are numbers, and a label that is escaped)
        f'<svg class="line tone-{escape(kind)}" viewBox="0 0 {WIDTH} {LINES}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(label)}"><polygon points="{area}"/><polyline points="{path}"/></svg>'
    )


class _Scale:
    """Where an instant lies in a drawing."""

    def __init__(self, begin: datetime, end: datetime) -> None:
        self._begin = begin
        self._seconds = max((end - begin).total_seconds(), 1e-3)

    def at(self, when: datetime) -> float:
        """Return the place from the left."""
        share = (when - self._begin).total_seconds() / self._seconds
        return WIDTH * min(max(share, 0.0), 1.0)


def _lane(label: str, shapes: Sequence[Markup]) -> Markup:
    inner = Markup("").join(shapes)
    return Markup(  # noqa: S704  (its parts are numbers, and texts that are escaped)
        f'<svg class="lane" viewBox="0 0 {WIDTH} {LANE}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(label)}">{inner}</svg>'
    )


def _bar(scale: _Scale, begin: datetime, end: datetime, kind: str, said: str) -> Markup:
    left = scale.at(begin)
    width = max(scale.at(end) - left, _NARROWEST)
    left = min(left, WIDTH - width)
    return Markup(  # noqa: S704  (its parts are numbers, and texts that are escaped)
        f'<rect class="tone-{escape(kind)}" x="{left:.1f}" y="0" width="{width:.1f}" height="{LANE}">'
        f"<title>{escape(said)}</title></rect>"
    )


def _state(scale: _Scale, one: Mapping[str, Any]) -> Markup:
    begin, end = _time(one["from"]), _time(one["until"])
    lasted = span((end - begin).total_seconds())
    return _bar(scale, begin, end, tone(one["state"]), f"{one['state']} for {lasted}, since {clock(begin)}")


def _placement(scale: _Scale, one: Mapping[str, Any]) -> Iterable[Markup]:
    begin, end = _time(one["from"]), _time(one["until"])
    opened, closing = instant(one["opened_at"]), instant(one["closing_since"])
    where = f"at {one['provider']}"
    yield _bar(scale, begin, opened or closing or end, "busy", f"opening {where}")
    if opened is not None:
        yield _bar(scale, opened, closing or end, "good", f"open {where}")
    if closing is not None:
        yield _bar(scale, closing, end, "warn", f"closing {where}: {one['last_answer'] or 'not tried yet'}")


def _well(scale: _Scale, known: Mapping[str, Any]) -> Iterable[Markup]:
    for one in known["states"]:
        if one["state"] == "running":
            yield _bar(scale, _time(one["from"]), _time(one["until"]), "good", "pings answer")


def _doubts(scale: _Scale, known: Mapping[str, Any]) -> Iterable[Markup]:
    for one in known["doubts"]:
        said = ": ".join(part for part in (words(one["verdict"]), one["detail"]) if part)
        yield _bar(scale, _time(one["from"]), _time(one["until"]), "bad", f"in doubt: {said}")


def _time(text: str) -> datetime:
    found = instant(text)
    assert found is not None
    return found
