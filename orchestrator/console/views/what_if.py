"""Try other rules: a form, and what they would do to the fleet."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from orchestrator.api.callers import process_of
from orchestrator.api.problems import Problem, fault, invalid
from orchestrator.client.trial_resources import MOST_SESSIONS
from orchestrator.console.access import READ_ALL
from orchestrator.console.backend import change
from orchestrator.console.forms import given
from orchestrator.console.pages import page
from orchestrator.settings.changes import TRIED, flat
from orchestrator.validation.assignments import AssignmentFault, assignments

router = APIRouter()

#: Characters of one field.
_MOST = 5_000
#: Sessions of each state that are read: what takes a moment, and all that one trial reads.
_FEW = 100
_SIZES = (_FEW, MOST_SESSIONS)


@router.get("/what-if", dependencies=READ_ALL)
async def what_if(request: Request) -> Response:
    """Show the form, with what the change in the address would do. Nothing is written, so that it needs no more than
    reading."""
    query = request.query_params
    asked = {name: query.get(name, "")[:_MOST].strip() for name in ("set", "prices", "account_id")}
    size = MOST_SESSIONS if query.get("most_sessions") == str(MOST_SESSIONS) else _FEW
    known = flat(process_of(request).services.config)
    keys = [(key, value) for key, value in known.items() if key.partition(".")[0] in TRIED[:2]]
    report, problem = None, None
    if asked["set"] or asked["prices"]:
        try:
            report = await change(request, "POST", "/policy:try", _body(asked, size))
        except Problem as refused:
            if refused.status not in (404, 422):
                raise
            problem = refused
    status = 200 if problem is None else problem.status
    shown = [] if report is None else _by_time(report)
    return await page(
        request,
        "what_if.html",
        status=status,
        asked=asked,
        size=size,
        sizes=_SIZES,
        keys=keys,
        report=report,
        problem=problem,
        shown=shown,
    )


def _body(asked: Mapping[str, str], most_sessions: int) -> Mapping[str, Any]:
    prices = {model: str(price) for model, price in _lines("prices", asked["prices"]).items()}
    return given(
        set=_lines("set", asked["set"]),
        prices=prices,
        account_id=asked["account_id"] or None,
        most_sessions=most_sessions,
    )


def _lines(name: str, text: str) -> dict[str, Any]:
    """Return the assignments, one in a line. Raises Problem."""
    try:
        return assignments(line for line in text.splitlines() if line.strip())
    except AssignmentFault as wrong:
        raise invalid(fault(name, f"{wrong}, one on each line")) from None


def _by_time(report: Mapping[str, Any]) -> Sequence[tuple[str, Mapping[str, int], Sequence[Any]]]:
    """Return what happens with the deploy, then what would have happened: title, counts, findings."""
    titles = (("deployed", "With the deploy"), ("hindsight", "If it had applied all along"))
    return [
        (title, report["counts"][time], [one for one in report["findings"] if one["applies"] == time])
        for time, title in titles
    ]
