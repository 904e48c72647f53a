"""Turn errors into lines on stderr and an exit code. No other module does so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from orchestrator.cli.shared.output import say, say_json
from orchestrator.rules.refusals import ErrorCode, Refusal

if TYPE_CHECKING:
    from orchestrator.store.database import StoreOutage

#: What typer raises for wrong usage: it does not export the class.
_USAGE = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")
#: Refused, or found wrong.
REFUSED = 1
#: Usage or configuration: the same command fails again until it is corrected.
WRONG = 2
#: What the command names is not there.
NOT_FOUND = 3
#: What was waited for did not come in time.
TIMED_OUT = 4
#: The code of a failure that has no code of its own, by its exit code.
_CODES: Mapping[int, str] = {
    REFUSED: "failed",
    WRONG: "wrong",
    NOT_FOUND: "not_found",
    TIMED_OUT: "timed_out",
}


class Complaint(Exception):
    """The command cannot do what was asked. It prints this message, and ends."""

    def __init__(
        self, message: str, exit_code: int = REFUSED, code: str | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        self.exit_code, self.code, self.details = exit_code, code, details


class RefusedJob(Complaint):
    """The outcome of a job: code, message and details as the worker gave them."""

    def __init__(self, code: str, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message, exit_code_of(code), code, **details)


@dataclass(frozen=True, slots=True)
class Failure:
    """What to print, and the exit code. Code and details are for programs."""

    lines: Sequence[str]
    exit_code: int
    code: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the error object."""
        code = self.code or _CODES[self.exit_code]
        message = "\n".join(self.lines).removeprefix(f"error {code}: ")
        return {"code": code, "message": message, "details": dict(self.details)}


class ExplainingGroup(TyperGroup):
    """Commands that print expected failures as messages, or with --json as an error object; a defect of ours keeps its
    traceback."""

    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args + ctx._protected_args  # noqa: SLF001
        try:
            return super().invoke(ctx)
        except Exception as error:
            _in_plain_words(error)
            failure = explained(error) or (misused(error) if as_json else None)
            if failure is None:
                raise
        if as_json:
            say_json(failure.as_json())
        else:
            for line in failure.lines:
                say(line)
        raise typer.Exit(failure.exit_code)


def _in_plain_words(error: Exception) -> None:
    """Replace the words of pydantic, with which typer reports a value that it cannot read."""
    details = getattr(error.__cause__ or error.__context__, "errors", None)
    usage: Any = error
    if isinstance(error, _USAGE) and callable(details):
        from orchestrator.validation.wording import in_words

        usage.message = in_words(details()[0]).removesuffix(", not a text")  # all that is typed is text


def exit_code_of(code: str) -> int:
    """Return the exit code for an error's code."""
    return NOT_FOUND if code.startswith("unknown_") else REFUSED


def misused(error: Exception) -> Failure | None:
    """Return wrong usage, which typer prints for people; None for any other error."""
    usage: Any = error
    if not isinstance(error, _USAGE):
        return None
    message = usage.format_message()
    fault = {"loc": _place(usage), "msg": usage.message or message, "type": "usage"}
    details = getattr(error, "details", None) or {"faults": [fault]}
    return Failure([message], WRONG, ErrorCode.INVALID_REQUEST, details)


def _place(usage: Any) -> str:
    """Return the option or argument that is wrong, as it is typed; nothing where typer does not say which."""
    parameter = getattr(usage, "param", None)
    names = list(getattr(parameter, "opts", ()))
    typed = next((name for name in names if name.startswith("--")), getattr(parameter, "metavar", None))
    hint = getattr(usage, "param_hint", None) or typed or getattr(usage, "option_name", None)
    return hint if isinstance(hint, str) else ""


def explained(error: Exception) -> Failure | None:
    """Return the failure if a user can act on it; None for any other error."""
    match error:
        case _ if isinstance(error, typer.BadParameter) or _home(error).startswith("typer."):
            return None  # usage, or an exit: typer prints that itself
        case RefusedJob():  # by its text: a worker of a later release may know more codes than we do
            return _refused(str(error.code), str(error), error.details)
        case Complaint():
            said = str(error) if error.code is None else f"error {error.code}: {error}"
            return Failure([said], error.exit_code, error.code, error.details)
        case Refusal():
            return _refused(error.code, error.message, error.details)
        case UnicodeEncodeError(
            encoding="utf-8", object=str(text)
        ):  # of a terminal's bytes, which no database takes
            message = f"the command line has bytes that are not UTF-8: {text[:100]!r}"
            return Failure([message], WRONG, ErrorCode.INVALID_REQUEST)
        case _:
            return _from_below(error)


def _refused(code: str, message: str, details: Mapping[str, Any]) -> Failure:
    return Failure(refusal_lines(code, message, details), exit_code_of(code), code, details)


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
            faults = [str(fault) for fault in error.faults]
            return Failure(faults, WRONG, "invalid_configuration", {"faults": faults})
        case StoreUnavailable() | BrokerUnreachable():
            return Failure([str(error)], WRONG, "unavailable")
        case StoreOutage():
            return Failure([_outage(error)], WRONG, "unavailable")
        case StoreError():
            return Failure([_of_database(error)], WRONG, "unavailable")
        case JobBroken():
            return Failure([str(error)], REFUSED, "internal_error")
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
