"""What other services import to send jobs, and what the worker checks them with.

sender        `JobClient` sends jobs and reads their outcomes
async_sender  `AsyncJobClient` does so on an event loop
job_methods   one typed method for each job, of both clients
requests, account_requests, model_requests, read_requests   one model for each job, built from `base` and `fields`
close_many    the request that closes many sessions by conditions
webhook_requests   what is put and replayed at a webhook, by the HTTP API only
close_many    which sessions are closed together, and why
parsing       `parse` turns keyword arguments into a request or a Refusal; values that no job may contain at any depth
results, event_resources   the shapes of each job's result and of each event's data
schemas       JSON Schema of jobs, outcomes and events
outcomes      `succeeded` and `refused`: the two shapes of an outcome
options       the Celery options that clients and workers share
stream        reads the Redis stream of events
close_many    which sessions a close of many is about
http          `ApiClient` and `AsyncApiClient`: the HTTP API, with retries
calls, installation_calls, api_call   one function for each request to the HTTP API
resources, installation_resources, cost_resources, trial_resources   the shapes of its answers

It imports `rules` and `validation` only, Celery not before a job is sent, and httpx not before a client of the HTTP API
is made. `deploy/client` builds it as a distribution of its own, for services that need no worker.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.client.async_sender import AsyncJobClient
    from orchestrator.client.http import ApiClient, ApiRefused, ApiUnreachable, AsyncApiClient
    from orchestrator.client.job_methods import JobRefused, JobUnanswered
    from orchestrator.client.options import JOBS_QUEUE, celery_options
    from orchestrator.client.outcomes import plain, refused, succeeded
    from orchestrator.client.parsing import InvalidRequest, RequestFault, digest, parse
    from orchestrator.client.requests import (
        JOBS,
        AttachRequest,
        BudgetAccount,
        CloseSession,
        CreateSession,
        CreditAccount,
        DebitAccount,
        DeleteSession,
        ExtendSession,
        GetAccount,
        GetSession,
        Interactions,
        ListSessions,
        PingSession,
        ProviderOptions,
        PutAccount,
        PutModel,
        RecordInteractions,
        Request,
        StartSession,
        StopRequest,
    )
    from orchestrator.client.schemas import events_schema, outcomes_schema, schema
    from orchestrator.client.sender import BrokerUnreachable, JobBroken, JobClient

#: Where each name is. It is imported when it is used: who only sends a job needs no shapes of the HTTP API.
_PLACES = {
    "ApiClient": "http",
    "ApiRefused": "http",
    "ApiUnreachable": "http",
    "AsyncApiClient": "http",
    "AsyncJobClient": "async_sender",
    "AttachRequest": "requests",
    "BrokerUnreachable": "sender",
    "BudgetAccount": "requests",
    "CloseSession": "requests",
    "CreateSession": "requests",
    "CreditAccount": "requests",
    "DebitAccount": "requests",
    "DeleteSession": "requests",
    "ExtendSession": "requests",
    "GetAccount": "requests",
    "GetSession": "requests",
    "Interactions": "requests",
    "InvalidRequest": "parsing",
    "JOBS": "requests",
    "JOBS_QUEUE": "options",
    "JobBroken": "sender",
    "JobClient": "sender",
    "JobRefused": "job_methods",
    "JobUnanswered": "job_methods",
    "ListSessions": "requests",
    "PingSession": "requests",
    "ProviderOptions": "requests",
    "PutAccount": "requests",
    "PutModel": "requests",
    "RecordInteractions": "requests",
    "Request": "requests",
    "RequestFault": "parsing",
    "StartSession": "requests",
    "StopRequest": "requests",
    "celery_options": "options",
    "digest": "parsing",
    "events_schema": "schemas",
    "outcomes_schema": "schemas",
    "parse": "parsing",
    "plain": "outcomes",
    "refused": "outcomes",
    "schema": "schemas",
    "succeeded": "outcomes",
}

__all__ = [
    "JOBS",
    "JOBS_QUEUE",
    "ApiClient",
    "ApiRefused",
    "ApiUnreachable",
    "AsyncApiClient",
    "AsyncJobClient",
    "AttachRequest",
    "BrokerUnreachable",
    "BudgetAccount",
    "CloseSession",
    "CreateSession",
    "CreditAccount",
    "DebitAccount",
    "DeleteSession",
    "ExtendSession",
    "GetAccount",
    "GetSession",
    "Interactions",
    "InvalidRequest",
    "JobBroken",
    "JobClient",
    "JobRefused",
    "JobUnanswered",
    "ListSessions",
    "PingSession",
    "ProviderOptions",
    "PutAccount",
    "PutModel",
    "RecordInteractions",
    "Request",
    "RequestFault",
    "StartSession",
    "StopRequest",
    "celery_options",
    "digest",
    "events_schema",
    "outcomes_schema",
    "parse",
    "plain",
    "refused",
    "schema",
    "succeeded",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
