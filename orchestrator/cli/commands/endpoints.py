"""The endpoint of a running session, its secret, and code that uses both."""

from typing import TYPE_CHECKING, Any

from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.reading import found_session
from orchestrator.flows.reports.samples import LANGUAGES, Sample
from orchestrator.rules.values import ModelType

if TYPE_CHECKING:
    from orchestrator.store.transaction import Transaction


def endpoint_of(tx: "Transaction", session_id: str) -> dict[str, Any]:
    """Return URL, model, auth and secret reference. Raises Refusal(invalid_state) unless the session runs."""
    from orchestrator.flows.reports import endpoint

    return endpoint.endpoint_of(tx, found_session(tx, session_id))


def samples_of(tx: "Transaction", session_id: str, endpoint: dict[str, Any]) -> dict[str, str]:
    """Return sample code by language."""
    newest = tx.placements.newest([session_id])[session_id]
    sample = Sample(**endpoint, speech=newest.model_type is ModelType.ASR)
    return {language: write(sample) for language, write in LANGUAGES.items()}


def revealed(endpoint: dict[str, Any]) -> str | None:
    """Return the secret behind the reference; None if none is needed. Raises Complaint if this machine lacks it."""
    from orchestrator import wiring
    from orchestrator.settings import load_settings

    ref = endpoint["secret_ref"]
    if ref is None:
        return None
    secrets = wiring.secret_store(load_settings())
    missing = secrets.why_missing(ref)
    if missing:
        raise Complaint(f"the secret {ref} is not on this machine: {missing}")
    return secrets.get(ref)
