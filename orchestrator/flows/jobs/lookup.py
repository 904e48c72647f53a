"""Find what a job names, or refuse the job."""

from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import archived
from orchestrator.flows.lifecycle.account_work import AccountWork, on_account
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import Model, Session
from orchestrator.store.transaction import Transaction


def account(services: Services, tx: Transaction, account_id: str) -> AccountWork:
    """Return the account, locked, its due stops applied. Raises Refusal(unknown_account)."""
    work = on_account(services, tx, account_id)
    if work is None:
        message = f"account {account_id} is unknown: put it first (orchestrator.account.put)"
        raise Refusal(ErrorCode.UNKNOWN_ACCOUNT, message, account_id=account_id)
    return work


def model(tx: Transaction, model_id: str) -> Model:
    """Return the model. Raises Refusal(unknown_model)."""
    found = tx.models.get(model_id)
    if found is None:
        message = f"model {model_id} is unknown: put it first (orchestrator.model.put)"
        raise Refusal(ErrorCode.UNKNOWN_MODEL, message, model_id=model_id)
    return found


def session(services: Services, tx: Transaction, session_id: str) -> tuple[AccountWork, Session]:
    """Return a session that is not deleted, locked after its account. Raises Refusal(unknown_session), or, for one that
    is archived, Refusal(invalid_state)."""
    account_id = tx.sessions.accounts_of([session_id]).get(session_id)
    work = on_account(services, tx, account_id) if account_id else None
    found = tx.sessions.lock(session_id) if work else None
    if work is None or found is None or found.deleted_at is not None:
        left = tx.archive.get(session_id)
        if left is not None and left.deleted_at is None:
            raise archived.refusal(left)
        raise Refusal(ErrorCode.UNKNOWN_SESSION, f"session {session_id} is unknown", session_id=session_id)
    return work, found


def wrong_state(found: Session, wanted: str) -> Refusal:
    """Return the refusal for a session in the wrong state."""
    message = f"session {found.id} is {found.state.value}: only {wanted}"
    return Refusal(ErrorCode.INVALID_STATE, message, session_id=found.id, state=found.state.value)
