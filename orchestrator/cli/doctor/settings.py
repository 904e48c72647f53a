"""Checks of the configuration file, the environment and the secrets."""

from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import Doubt
from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.reading import reading
from orchestrator.rules.text import numbered

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def configuration(settings: "Settings") -> str:
    """Check that the configuration file can be read."""
    from orchestrator import wiring

    configuration = wiring.read_configuration(settings)
    return f"{settings.config}: {numbered(len(configuration.providers), 'provider')}"


def file(settings: "Settings") -> str:
    """Check that the configuration file exists. Running on defaults is allowed only while no session lives."""
    if settings.config.exists():
        return str(settings.config)
    with reading() as tx:
        lives = bool(tx.due_work.providers_of_live_rows())
    if lives:
        raise Complaint(
            f"{settings.config.absolute()} does not exist, and sessions live: run this where the file is, or name it in"
            " ORCHESTRATOR_CONFIG"
        )
    return f"{settings.config} does not exist: no providers, and defaults for everything else"


def environment(settings: "Settings") -> str:
    """Check for misspelt variables. A misspelt variable is ignored, and its setting keeps the default."""
    from orchestrator import wiring
    from orchestrator.settings import unknown_variables

    unknown = unknown_variables(wiring.read_configuration(settings))
    if unknown:
        raise Doubt("\n".join(str(fault) for fault in unknown))
    return "every ORCHESTRATOR_ variable is known"


def secrets(settings: "Settings") -> str:
    """Check that every secret exists that the file names."""
    from orchestrator import wiring

    configuration = wiring.read_configuration(settings)
    refs = {ref for provider in configuration.providers.values() for ref in provider.secret_refs}
    missing = wiring.secret_store(settings).missing(sorted(refs))
    if missing:
        raise Complaint("\n".join(str(fault) for fault in missing))
    return f"{len(refs)} found"
