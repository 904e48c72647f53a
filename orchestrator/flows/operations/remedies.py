"""What an operator can do about a platform's answer."""

from typing import assert_never

from orchestrator.providers.port.errors import (
    CallsRetired,
    CredentialRefused,
    Misconfigured,
    ModelMissing,
    NotSent,
    OutOfBalance,
    ProviderError,
    ProviderFull,
    Throttled,
    Unavailable,
)
from orchestrator.rules.values import Verdict

_REPLACE_KEY = "replace the key behind this reference, or grant it what the platform refuses"
_TOP_UP = "top up the platform's own account"
_CORRECT = "compare the settings with docs/providers.md"
_WAIT = "wait, and try again"
_LOOK = "look at the platform, and try again"

#: Looked up in this order.
_OF_ERRORS: tuple[tuple[type[ProviderError], str], ...] = (
    (CallsRetired, "correct base_url if the calls went elsewhere; else take sessions from another platform"),
    (CredentialRefused, _REPLACE_KEY),
    (OutOfBalance, _TOP_UP),
    (ModelMissing, "correct the model's provider_model_id, or give it another provider"),
    (ProviderFull, "try again later, or give the model another provider"),
    (Misconfigured, _CORRECT),
    (Unavailable, _LOOK),
    (NotSent, "check the address, and the network, DNS and certificates on this machine"),
    (Throttled, _WAIT),
)


def after_error(error: ProviderError) -> str:
    """Return what to do about a call that failed."""
    found = (remedy for kind, remedy in _OF_ERRORS if isinstance(error, kind))
    return next(found, _LOOK)


def after_ping(verdict: Verdict) -> str | None:
    """Return what to do about a ping's verdict; None if nothing is to be done."""
    match verdict:
        case Verdict.ALIVE:
            return None
        case Verdict.THROTTLED | Verdict.LOADING:
            return _WAIT
        case Verdict.TRANSIENT:
            return "look at the platform, and the network on this machine, and try again"
        case Verdict.GONE:
            return "it no longer serves this: look for it at the platform, or correct the provider_model_id"
        case Verdict.CREDENTIALS:
            return _REPLACE_KEY
        case Verdict.OUT_OF_BALANCE:
            return _TOP_UP
        case Verdict.MISCONFIGURED:
            return _CORRECT
        case unknown:
            assert_never(unknown)
