"""What other services import to send jobs, and what the worker checks them with.

sender        `JobClient` sends jobs and reads their outcomes
requests, account_requests, model_requests   one model for each job, built from `base` and `fields`
parsing       `parse` turns keyword arguments into a request or a Refusal
json_limits   values that no job may contain at any depth
outcomes      `succeeded` and `refused`: the two shapes of an outcome
options       the Celery options that clients and workers share
stream        reads the Redis stream of events

Celery is imported only when a client or its options are made.
"""

from orchestrator.client.options import JOBS_QUEUE, celery_options
from orchestrator.client.outcomes import plain, refused, succeeded
from orchestrator.client.parsing import digest, parse, schema
from orchestrator.client.requests import (
    JOBS,
    AttachRequest,
    CloseSession,
    CreateSession,
    CreditAccount,
    DebitAccount,
    DeleteSession,
    ExtendSession,
    Interactions,
    PingSession,
    ProviderOptions,
    PutAccount,
    PutModel,
    RecordInteractions,
    Request,
    StartSession,
    StopRequest,
)
from orchestrator.client.sender import BrokerUnreachable, JobBroken, JobClient

__all__ = [
    "JOBS",
    "JOBS_QUEUE",
    "AttachRequest",
    "BrokerUnreachable",
    "CloseSession",
    "CreateSession",
    "CreditAccount",
    "DebitAccount",
    "DeleteSession",
    "ExtendSession",
    "Interactions",
    "JobBroken",
    "JobClient",
    "PingSession",
    "ProviderOptions",
    "PutAccount",
    "PutModel",
    "RecordInteractions",
    "Request",
    "StartSession",
    "StopRequest",
    "celery_options",
    "digest",
    "parse",
    "plain",
    "refused",
    "schema",
    "succeeded",
]
