"""Turn errors into lines on stderr and an exit code. No other module does so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from orchestrator.cli.output import say
from orchestrator.rules.refusals import ErrorCode, Refusal

if TYPE_CHECKING:
    from orchestrator.store.database import StoreOutage

#: Refused, or found wrong.
REFUSED = 1
#: Usage or configuration: the same command fails again until it is corrected.
WRONG = 2


class Complaint(Exception):
    """The command cannot do what was asked. It prints this message, and ends."""

    def __init__(self, message: str, exit_code: int = REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Failure:
    """What to print, and the exit code."""

    lines: Sequence[str]
    exit_code: int


class ExplainingGroup(TyperGroup):
    """Commands that print expected failures as messages; a defect of ours keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            failure = explained(error)
            if failure is None:
                raise
        for line in failure.lines:
            say(line)
        raise typer.Exit(failure.exit_code)


def explained(error: Exception) -> Failure | None:
    """Return the failure if a user can act on it; None for any other error."""
    match error:
        case _ if isinstance(error, typer.BadParameter) or _home(error).startswith("typer."):
            return None  # usage, or an exit: typer prints that itself
        case Complaint():
            return Failure([str(error)], error.exit_code)
        case Refusal():
            return Failure(refusal_lines(error.code, error.message, error.details), REFUSED)
        case _:
            return _from_below(error)


def refusal_lines(code: str, message: str, details: Mapping[str, Any]) -> list[str]:
    """Return the code and the message; several faults become one line each."""
    faults = details.get("faults") or []
    several = [f"  {fault['loc']}: {fault['msg']}" for fault in faults] if len(faults) > 1 else []
    return [f"error {code}: {_with_our_remedy(code, message, details)}", *several]


def _with_our_remedy(code: str, message: str, details: Mapping[str, Any]) -> str:
    """Name a command as the remedy, for a person at the command line. The job's own message names a job."""
    match code:
        case ErrorCode.UNKNOWN_ACCOUNT if "account_id" in details:
            who = f"account {details['account_id']} is unknown"
            how = f"`orchestrator account put {details['account_id']} --plan PLAN --currency CODE`"
            return f"{who}: put it first ({how}, or `orchestrator apply FILE`); `orchestrator account list` has all"
        case ErrorCode.UNKNOWN_MODEL if "model_id" in details:
            what = f"model {details['model_id']} is unknown"
            how = f"`orchestrator model put {details['model_id']} …`"
            return f"{what}: put it first ({how}, or `orchestrator apply FILE`); `orchestrator model list` has all"
        case _:
            return message


def _from_below(error: Exception) -> Failure | None:
    """Return the failure that a known error means. Import its classes only now: a command that succeeds does not need
    them."""
    from orchestrator.client import BrokerUnreachable, JobBroken
    from orchestrator.settings import ConfigurationError
    from orchestrator.store.database import StoreError, StoreOutage, StoreUnavailable

    match error:
        case ConfigurationError():
            return Failure([str(fault) for fault in error.faults], WRONG)
        case StoreUnavailable() | BrokerUnreachable():
            return Failure([str(error)], WRONG)
        case StoreOutage():
            return Failure([_outage(error)], WRONG)
        case StoreError():
            return Failure([_of_database(error)], WRONG)
        case JobBroken():
            return Failure([str(error)], REFUSED)
        case _ if _home(error).startswith("alembic.util"):  # only the store imports it
            return Failure([f"the database cannot be migrated by this release: {error}"], WRONG)
        case _:
            return None


def _home(error: Exception) -> str:
    """Return the module that the error comes from."""
    return type(error).__module__


def _outage(error: "StoreOutage") -> str:
    """Return the kind of outage, the database's own words, and what to do."""
    cause = getattr(error.__cause__, "orig", None)
    said = str(cause).strip().splitlines() if cause is not None else []
    return f"{error}" + (f": {said[0]}" if said else "") + (f". {error.remedy}" if error.remedy else "")


def _of_database(error: Exception) -> str:
    """Return the database's own words, without the statement and its values."""
    cause = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
    return f"the database cannot be used: {cause[0]}. Check ORCHESTRATOR_DATABASE_URL"
