"""Faults over the limit of tokens, the ladder that a careful ping climbs."""

from typing import Annotated

from pydantic import Field

from orchestrator.simulator.completions import token_limit
from orchestrator.simulator.faults.turn import Turn
from orchestrator.simulator.wire import Refusal, Reply


def refuses_max_tokens(turn: Turn) -> Reply:
    """Refuse `max_tokens`: newer models require the other name."""
    if "max_tokens" not in turn.ask.fields:
        return turn.perform()
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead."
    )
    return turn.refuse(Refusal(status=400, message=message, param="max_tokens", code="unsupported_parameter"))


def refuses_max_completion_tokens(turn: Turn) -> Reply:
    """Refuse `max_completion_tokens`: stricter servers know only the older name."""
    name = "max_completion_tokens"
    if name not in turn.ask.fields:
        return turn.perform()
    fault = {
        "type": "extra_forbidden",
        "loc": ["body", name],
        "msg": "Extra inputs are not permitted",
        "input": turn.ask.fields[name],
    }
    return Reply(status=422, payload={"detail": [fault]})


def min_tokens(turn: Turn, *, at_least: Annotated[int, Field(ge=1)] = 16) -> Reply:
    """Refuse a limit below the model's minimum."""
    limit = token_limit(turn.ask)
    if limit is None or limit >= at_least:
        return turn.perform()
    message = (
        "Invalid 'max_tokens': integer below minimum value. "
        f"Expected a value >= {at_least}, but got {limit} instead."
    )
    return turn.refuse(
        Refusal(status=400, message=message, param="max_tokens", code="integer_below_min_value")
    )


def max_tokens_reached(turn: Turn) -> Reply:
    """Answer that the model lives, but ran out of tokens before its first word."""
    message = (
        "Could not finish the message because max_tokens or model output limit was reached. "
        "Please try again with higher max_tokens."
    )
    return turn.refuse(Refusal(status=400, message=message))
