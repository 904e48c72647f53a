"""What each world does with jobs, whatever sends them."""

from collections.abc import Mapping
from typing import Any

from tests.upstreams import KIND


class JobSender:
    """A world has `job`, and gets the rest from here."""

    def job(self, name: str, /, *, task_id: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return the outcome of `orchestrator.{name}`."""
        raise NotImplementedError

    def done(self, name: str, /, **kwargs: Any) -> dict[str, Any]:
        """Return the result of a job that must not be refused."""
        outcome = self.job(name, **kwargs)
        assert outcome["ok"], outcome
        result: dict[str, Any] = outcome["result"]
        return result

    def refused(self, name: str, /, **kwargs: Any) -> str:
        """Return the error code of a job that must be refused."""
        outcome = self.job(name, **kwargs)
        assert not outcome["ok"], outcome
        code: str = outcome["error"]["code"]
        return code

    def open_account(self, account_id: str = "acme", plan: str = "payg", amount: str = "100") -> None:
        """Put an account with funds."""
        self.done("account.put", account_id=account_id, plan=plan, currency="USD")
        self.done("account.credit", account_id=account_id, amount=amount, currency="USD", key="opening")

    def put_model(self, model_id: str, served: Mapping[str, str], **changes: Any) -> None:
        """Put a model, with what each of its providers calls it, in order of preference."""
        names = {"providers": list(served), "provider_model_ids": served}
        self.done("model.put", id=model_id, **names, **(KIND | changes))

    def put_private_model(self, model_id: str, owner: str) -> None:
        """Put a private model of this account, which can be served."""
        ready = {"files_uploaded": True, "tags": ["ready"]}
        self.put_model(model_id, {"alpha": "llama-3"}, source="private", owner=owner, **ready)

    def create_session(self, model_id: str = "llama", **kwargs: Any) -> str:
        """Return the id of a new session of `acme`, or of another account."""
        created = self.done("session.create", **({"account_id": "acme", "model_id": model_id} | kwargs))
        session_id: str = created["id"]
        return session_id
