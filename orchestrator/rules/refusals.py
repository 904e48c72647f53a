"""Why a job was refused: an outcome with a code that other services rely on. A refused job changes nothing."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """The codes of contract: add to them, never rename."""

    INVALID_REQUEST = "invalid_request"
    UNKNOWN_ACCOUNT = "unknown_account"
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_SESSION = "unknown_session"
    MODEL_NOT_ELIGIBLE = "model_not_eligible"
    NAME_TAKEN = "name_taken"
    QUOTA_TOTAL_EXCEEDED = "quota_total_exceeded"
    QUOTA_CONCURRENT_EXCEEDED = "quota_concurrent_exceeded"
    QUEUE_AHEAD = "queue_ahead"
    """Sessions of the account wait already, for something other than a quota: this one comes after them."""
    QUOTA_NODES_EXCEEDED = "quota_nodes_exceeded"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    BUDGET_EXCEEDED = "budget_exceeded"
    BURN_RATE_EXCEEDED = "burn_rate_exceeded"
    CURRENCY_MISMATCH = "currency_mismatch"
    NO_CAPACITY = "no_capacity"
    LIMIT_EXCEEDED = "limit_exceeded"
    INVALID_STATE = "invalid_state"
    CONFLICT = "conflict"
    PRECONDITION_FAILED = "precondition_failed"
    """It was to change only a certain version of the row, and the row has another one by now."""
    INTERNAL_ERROR = "internal_error"
    """A defect of ours, which occurred at every try; nothing was changed."""


class Refusal(Exception):
    """The job is refused: `code` for machines, `message` for people (what, where, what to do)."""

    def __init__(self, code: ErrorCode, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Mapping[str, Any] = details
