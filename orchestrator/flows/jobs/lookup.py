"""Find the rows that a job names, or refuse the job."""

from datetime import datetime

from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import archived
from orchestrator.flows.lifecycle.account_work import AccountWork, lock_account
from orchestrator.flows.lifecycle.due_stops import begin, on_session
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import Account, Model, Session
from orchestrator.store.transaction import Transaction


def account(services: Services, tx: Transaction, account_id: str) -> AccountWork:
    """Return the account, locked, with its due stops applied. Raises Refusal(unknown_account)."""
    return begin(services, tx, *locked_account(services, tx, account_id))


def locked_account(services: Services, tx: Transaction, account_id: str) -> tuple[Account, datetime]:
    """Return the account, locked, and the clock as it was after that. The caller begins the work on it. Raises
    Refusal(unknown_account)."""
    found = lock_account(services, tx, account_id)
    if found is None:
        message = f"account {account_id} is unknown: put it first (orchestrator.account.put)"
        raise Refusal(ErrorCode.UNKNOWN_ACCOUNT, message, account_id=account_id)
    return found


def model(tx: Transaction, model_id: str) -> Model:
    """Return the model. Raises Refusal(unknown_model)."""
    return known_model(tx.models.get(model_id), model_id)


def known_model(found: Model | None, model_id: str) -> Model:
    """Return the model that was found under this id. Raises Refusal(unknown_model)."""
    if found is None:
        message = f"model {model_id} is unknown: put it first (orchestrator.model.put)"
        raise Refusal(ErrorCode.UNKNOWN_MODEL, message, model_id=model_id)
    return found


def session(services: Services, tx: Transaction, session_id: str) -> tuple[AccountWork, Session]:
    """Return a session that is not deleted, locked after its account. Raises Refusal(unknown_session), or
    Refusal(invalid_state) for an archived one."""
    found = live_session(services, tx, session_id)
    if found is not None:
        return found
    left = tx.archive.get(session_id)
    if left is not None and left.deleted_at is None:
        raise archived.refusal(left)
    raise unknown(session_id)


def live_session(services: Services, tx: Transaction, session_id: str) -> tuple[AccountWork, Session] | None:
    """Return a session that is neither deleted nor archived, locked after its account; None if there is none."""
    found = on_session(services, tx, session_id)
    return found if found is not None and found[1].deleted_at is None else None


def unknown(session_id: str) -> Refusal:
    """Return the refusal of an id that no session has."""
    return Refusal(ErrorCode.UNKNOWN_SESSION, f"session {session_id} is unknown", session_id=session_id)


def wrong_state(found: Session, wanted: str) -> Refusal:
    """Return the refusal for a session in the wrong state."""
    message = f"session {found.id} is {found.state.value}: only {wanted}"
    return Refusal(ErrorCode.INVALID_STATE, message, session_id=found.id, state=found.state.value)
