"""How a driver's call fails, named by what the caller can do next."""

from dataclasses import replace

from orchestrator.providers.port.driver import Probe
from orchestrator.rules.upstream.alarms import AlarmKind
from orchestrator.rules.upstream.local_faults import LocalFault
from orchestrator.rules.upstream.placements import FailedCall
from orchestrator.rules.values import RefusedBy


class ProviderError(Exception):
    """An upstream platform did not do what was asked. The message is for people and contains no secret."""

    ended_handle: str | None = None
    """What it ended anyway: an open that then failed had freed its key of this."""
    probe: Probe | None = None
    """The ping that an open or a close sent to find out, as it costs what every ping costs."""
    failed_here: LocalFault | None = None
    """What failed on this machine: it says nothing about the platform."""
    alarm: AlarmKind | None = None
    """What an operator must look at, beyond the one session."""


def failed_here_in(error: object) -> LocalFault | None:
    """Return the fault of this machine in the error, or in an error that it was raised from."""
    while isinstance(error, BaseException):
        found = getattr(error, "failed_here", None)
        if isinstance(found, LocalFault):
            return found
        error = error.__cause__
    return None


class Refused(ProviderError):
    """The platform refused, and nothing was created: try the next credential or provider."""

    reach = RefusedBy.CREDENTIAL
    """What would be refused as well."""


class ProviderFull(Refused):
    """The platform has no capacity for this now: try another provider."""


class ModelMissing(Refused):
    """The platform does not serve this model: another credential will not help."""

    reach = RefusedBy.PROVIDER


class CredentialRefused(Refused):
    """The platform does not accept this secret: pause the credential, try the next."""


class CallsRetired(CredentialRefused):
    """The platform no longer offers these calls. No key can open sessions here, and this proves no session dead."""


class OutOfBalance(Refused):
    """The platform's own account there is empty: an operator must top it up."""

    alarm = AlarmKind.OUT_OF_BALANCE


class Misconfigured(Refused):
    """The request as configured cannot work here: an operator must look."""

    alarm = AlarmKind.MISCONFIGURED


class NotSent(ProviderError):
    """The request certainly never reached the platform: send it again later."""


class KeyNotFree(NotSent):
    """Nothing was sent, since the key still has a session that an open would adopt. Free the key first, or take
    another."""

    def __init__(self, message: str, *, late: bool = False) -> None:
        super().__init__(message)
        self.late = late
        """A close is on its way that may still come, and must not hit what is opened next."""


class Unavailable(NotSent):
    """The platform was reached, failed for now, and changed nothing: send it again later."""


class LacksSecret(NotSent):
    """This worker lacks a secret that the call needs; another worker may have it. The alarm comes at once, since
    perhaps none has it, and the start would fail much later."""

    alarm = AlarmKind.MISCONFIGURED


class Throttled(ProviderError):
    """Too many requests, nothing was done: send it again after `retry_after_seconds`."""

    def __init__(
        self, message: str, retry_after_seconds: float | None = None, *, whole_key: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.whole_key = whole_key
        """The platform says that the key as a whole must wait, and not only with this model."""


class OutcomeUnknown(ProviderError):
    """The call may or may not have taken effect: resolve it first, never send it again blindly."""

    def __init__(
        self, message: str, *, possible_orphans: bool = False, at_most: int = 0, answered: bool = False
    ) -> None:
        super().__init__(message)
        self.possible_orphans = possible_orphans
        self.at_most = at_most
        """This many it may have opened, where that is known: to repeat the open may open as many more."""
        self.answered = answered
        """The platform itself has answered: nothing happens there."""


class NotClosed(ProviderError):
    """There is no proof that it is closed: retry without end."""


class CannotAsk(ProviderError):
    """The platform offers no such call."""


def failure_of(error: ProviderError) -> FailedCall:
    """Return the failure as rules see it."""
    failure = FailedCall(said=str(error), fault=failed_here_in(error))
    match error:
        case Throttled():
            return replace(failure, retry_after_seconds=error.retry_after_seconds)
        case KeyNotFree():
            return replace(failure, key_rests=error.late)
        case OutcomeUnknown():
            return replace(
                failure,
                answered=error.answered,
                possible_orphans=error.possible_orphans,
                orphans_at_most=error.at_most,
            )
        case _:
            return failure
