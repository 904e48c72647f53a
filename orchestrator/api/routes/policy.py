"""Try other rules on the fleet. Nothing is written."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from orchestrator.api.bodies import body_of, model_of
from orchestrator.api.callers import process_of, unknown_account
from orchestrator.api.documents import describes
from orchestrator.api.problems import Problem, fault, invalid
from orchestrator.api.process import ApiProcess
from orchestrator.client.trial_resources import TrialResource, TryPolicy
from orchestrator.flows.reports.policy_trial import FleetFacts, facts_of, trial
from orchestrator.flows.reports.repriced import repriced
from orchestrator.rules.values import Scope
from orchestrator.settings import Configuration, ConfigurationError
from orchestrator.settings.changes import differences, flat, with_changes
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["installation"])


@router.post(
    "/policy:try",
    **describes(
        Scope.READ,
        TrialResource,
        errors=(404,),
        all_accounts=True,
        body=TryPolicy,
        example={"set": {"dead_after_failures": 5, "plans.payg.max_sessions": 10}},
    ),
)
async def try_policy(request: Request) -> JSONResponse:
    """Return which sessions a changed policy, plan or price would stop, when, and how much they were used before: of
    those that live, and of those that ended in the last 7 days. Nothing is written. It is compared with the rules of
    this process."""
    process = process_of(request)
    wanted = model_of(TryPolicy, await body_of(request))
    current = process.services.config
    other = _changed(current, wanted.set)
    return JSONResponse(await process.check(lambda: _tried(process, current, other, wanted)))


def _tried(
    process: ApiProcess, current: Configuration, other: Configuration, wanted: TryPolicy
) -> Mapping[str, Any]:
    prices: Mapping[str, Decimal] = wanted.prices

    def read(tx: Transaction) -> tuple[list[dict[str, Any]], FleetFacts]:
        if wanted.account_id is not None and tx.accounts.get(wanted.account_id) is None:
            raise unknown_account(wanted.account_id)
        return repriced(tx, prices), facts_of(tx, wanted.account_id, wanted.most_sessions)

    with process.services.database.reading() as tx:
        of_models, facts = read(tx)
    changes = [*differences(flat(current), flat(other)), *of_models]
    return {"changes": changes, **trial(facts, current, other, prices)}


def _changed(current: Configuration, values: Mapping[str, Any]) -> Configuration:
    try:
        return with_changes(current, values)
    except ConfigurationError as error:
        raise _invalid(error) from None


def _invalid(error: ConfigurationError) -> Problem:
    return invalid(*(fault(f"set.{one.path}", one.message) for one in error.faults))
