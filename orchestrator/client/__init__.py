"""What other services import to enqueue jobs, and what the worker checks them with.

`JobClient` sends; `parse` turns a job's keyword arguments into a request or a Refusal; `succeeded` and
`refused` are the two shapes of an outcome. Celery is imported only where a client or its options are made.
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
