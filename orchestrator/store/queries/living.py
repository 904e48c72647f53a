"""Conditions for live rows, worded as the indexes that hold them.

States and steps are written out or compared, never passed as bare parameters: SQLite finds a partial index by the
wording of its condition."""

from typing import Any

from sqlalchemy import and_, literal_column, or_, text

from orchestrator.rules.states import UNENDED as _STATES
from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.store.core.conditions import IS_ACTIVE
from orchestrator.store.plain import table_of

_PLACEMENTS, _SESSIONS = table_of("placements"), table_of("sessions")
_ENDS: list[Any] = [literal_column(f"'{state.value}'") for state in PlacementState if state not in _STATES]
#: Placements that no longer cost anything, and those that may.
ENDED, UNENDED = _PLACEMENTS.c.state.in_(_ENDS), _PLACEMENTS.c.state.not_in(_ENDS)
#: Placements with a next step.
PENDING = _PLACEMENTS.c.next_step.in_([Step.OPEN, Step.RESOLVE, Step.CLOSE])
#: Sessions that run.
RUNS = _SESSIONS.c.state == literal_column(f"'{State.RUNNING.value}'")
#: Sessions in doubt (`rules/values/doubts.py`). An index has this condition together with `RUNS`.
IN_DOUBT = or_(_SESSIONS.c.failures > literal_column("0"), _SESSIONS.c.gone_since.is_not(None))
#: Sessions that start or run: each has a next step.
SERVED = and_(_SESSIONS.c.state.in_([State.STARTING, State.RUNNING]), _SESSIONS.c.next_step.in_(Step))
#: Sessions that start or run. For queries over sessions alone: the columns are not qualified.
STARTS_OR_RUNS = text(IS_ACTIVE)
