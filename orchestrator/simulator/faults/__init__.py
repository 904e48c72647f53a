"""Everything that can go wrong, by name; the keyword arguments of a fault are its parameters.

transport  faults of the connection
answers    faults of the answer
limits     faults over token limits
turn       what a fault works with
"""

import inspect
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from orchestrator.simulator.faults import answers, limits, transport
from orchestrator.simulator.faults.turn import Fault

FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        transport.dead,
        transport.slow,
        transport.hang,
        transport.busy,
        transport.cut_before_effect,
        transport.cut_after_effect,
        transport.cut_in_body,
        transport.huge_body,
        answers.gone,
        answers.expired,
        answers.throttled,
        answers.error_before,
        answers.error_after_effect,
        answers.loading,
        answers.wrong_id,
        answers.unauthorized,
        answers.forbidden,
        answers.out_of_balance,
        answers.html,
        answers.invalid_json,
        answers.error_in_200,
        answers.empty_choices,
        answers.empty_list,
        answers.redirect,
        answers.no_bids,
        answers.fails_below,
        answers.close_fails,
        answers.probe_fails,
        answers.status,
        limits.refuses_max_tokens,
        limits.refuses_max_completion_tokens,
        limits.min_tokens,
        limits.max_tokens_reached,
    )
}


def check_params(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters in the types of the fault's signature. Raises a pydantic ValidationError if they do not
    fit."""
    return dict(_form_of(FAULTS[name]).model_validate(params))


def _form_of(fault: Fault) -> type[BaseModel]:
    hints = typing.get_type_hints(fault, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if wanted.default is inspect.Parameter.empty else wanted.default)
        for name, wanted in inspect.signature(fault).parameters.items()
        if wanted.kind is inspect.Parameter.KEYWORD_ONLY
    }
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return create_model(fault.__name__, __config__=config, **fields)
