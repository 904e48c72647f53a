"""One typed method for each job. The client that waits and the client of an event loop share them."""

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast, overload

from orchestrator.client import cost_resources, requests, resources
from orchestrator.client.base import Request
from orchestrator.client.parsing import arguments_of, parse
from orchestrator.client.requests import JOBS
from orchestrator.client.resources import Resource
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.validation.wording import did_you_mean

R = TypeVar("R", bound=Request)
T = TypeVar("T", bound=Resource)
R_contra = TypeVar("R_contra", bound=Request, contravariant=True)
T_co = TypeVar("T_co", bound=Resource, covariant=True)
#: Seconds to wait for an outcome, unless the caller says otherwise.
TIMEOUT = 30.0


class JobRefused(Exception):
    """The job was refused: `code` for machines, `details` with what it is about. A refused job changes nothing."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: str = error["code"]
        self.details: dict[str, Any] = error["details"]


class JobUnanswered(Exception):
    """No outcome came in time. The job continues: `wait(task_id, …)` finds its outcome."""

    def __init__(self, name: str, task_id: str, timeout: float) -> None:
        super().__init__(f"no outcome of {name} after {timeout:g} s; wait for its task id {task_id}")
        self.task_id = task_id


class CallJob(Protocol[R_contra, T_co]):
    """Sends the job and returns its result. Give a request, or its fields."""

    def __call__(
        self,
        request: R_contra | None = None,
        /,
        *,
        timeout: float = ...,
        task_id: str | None = ...,
        **fields: Any,
    ) -> T_co:
        """Raise JobRefused, JobUnanswered, BrokerUnreachable, JobBroken; Refusal for a request that is wrong."""


class AwaitJob(Protocol[R_contra, T_co]):
    """The same, on an event loop."""

    async def __call__(
        self,
        request: R_contra | None = None,
        /,
        *,
        timeout: float = ...,  # noqa: ASYNC109
        task_id: str | None = ...,
        **fields: Any,
    ) -> T_co:
        """Raise what `CallJob` raises."""


class JobMethod(Generic[R, T]):
    """A job as a method of both clients."""

    def __init__(self, job: str) -> None:
        self.name = f"orchestrator.{job}"

    @overload
    def __get__(self, client: "Calls", owner: type) -> CallJob[R, T]: ...
    @overload
    def __get__(self, client: "Awaits", owner: type) -> AwaitJob[R, T]: ...
    @overload
    def __get__(self, client: None, owner: type) -> "JobMethod[R, T]": ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self if client is None else client.method_for(self)

    def arguments(self, request: Request | None, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments as JSON. Raises Refusal if they are wrong."""
        kind = JOBS[self.name]
        if request is not None and not isinstance(request, kind):
            message = f"{self.name} takes a {kind.__name__}, not a {type(request).__name__}"
            raise Refusal(ErrorCode.INVALID_REQUEST, message, faults=[])
        given = ({} if request is None else arguments_of(request)) | arguments_of(fields)
        parse(self.name, given)
        return given

    def result(self, outcome: dict[str, Any] | None, task_id: str, timeout: float) -> T:
        """Return the outcome's result. Raises JobUnanswered if there is no outcome, and JobRefused."""
        from orchestrator.client.results import RESULTS

        if outcome is None:
            raise JobUnanswered(self.name, task_id, timeout)
        if not outcome["ok"]:
            raise JobRefused(outcome["error"])
        return cast("T", RESULTS[self.name].model_validate(outcome["result"]))


class Calls(Protocol):
    """A client that waits."""

    def method_for(self, method: JobMethod[R, T]) -> CallJob[R, T]:
        """Return the function that sends this job and waits for its result."""


class Awaits(Protocol):
    """A client of an event loop."""

    def method_for(self, method: JobMethod[R, T]) -> AwaitJob[R, T]:
        """Return the same, to be awaited."""


class JobMethods:
    """The methods: `session_create` sends `orchestrator.session.create`, and so on."""

    session_create: "JobMethod[requests.CreateSession, resources.SessionResource]" = JobMethod(
        "session.create"
    )
    session_start: "JobMethod[requests.StartSession, resources.SessionResource]" = JobMethod("session.start")
    session_close: "JobMethod[requests.CloseSession, resources.CloseResource]" = JobMethod("session.close")
    session_extend: "JobMethod[requests.ExtendSession, resources.SessionResource]" = JobMethod(
        "session.extend"
    )
    session_ping: "JobMethod[requests.PingSession, resources.SessionResource]" = JobMethod("session.ping")
    session_delete: "JobMethod[requests.DeleteSession, resources.SessionResource]" = JobMethod(
        "session.delete"
    )
    session_record_interactions: "JobMethod[requests.RecordInteractions, resources.InteractionsResource]" = (
        JobMethod("session.record_interactions")
    )
    session_get: "JobMethod[requests.GetSession, resources.SessionResource]" = JobMethod("session.get")
    session_list: "JobMethod[requests.ListSessions, resources.SessionPageResource]" = JobMethod(
        "session.list"
    )
    account_put: "JobMethod[requests.PutAccount, resources.AccountResource]" = JobMethod("account.put")
    account_credit: "JobMethod[requests.CreditAccount, resources.CreditResource]" = JobMethod(
        "account.credit"
    )
    account_debit: "JobMethod[requests.DebitAccount, resources.CreditResource]" = JobMethod("account.debit")
    account_budget: "JobMethod[requests.BudgetAccount, cost_resources.BudgetsResource]" = JobMethod(
        "account.budget"
    )
    account_get: "JobMethod[requests.GetAccount, resources.AccountDetailResource]" = JobMethod("account.get")
    model_put: "JobMethod[requests.PutModel, resources.ModelResource]" = JobMethod("model.put")

    if not TYPE_CHECKING:  # a type checker refuses a misspelt name by itself

        def __getattr__(self, name: str) -> Any:
            known = [one for one in dir(type(self)) if not one.startswith("_")]
            raise AttributeError(f"{type(self).__name__} has no method {name}{did_you_mean(name, known)}")
