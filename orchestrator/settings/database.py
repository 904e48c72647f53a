"""Where the database is, for commands that need nothing else: the other settings are checked by pydantic, and importing
it takes longer than reading a page of rows."""

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

from orchestrator.settings import urls

_PREFIX = "orchestrator_"
_DEFAULT = "sqlite:///orchestrator.db"
#: Settings that can be checked at a glance. Wherever another is given, all are read.
_CHECKS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {
        "database_url": urls.database_url,
        "broker_url": lambda url: urls.scheme_of(urls.broker_url(url)) != "sentinel",
        "config": bool,
        "log": frozenset({"console", "json"}).__contains__,
        "fingerprint_key": bool,
    }
)


def database_url(environ: Mapping[str, str] = os.environ) -> str:
    """Return the database's URL. Raises ConfigurationError with every fault of all settings."""
    ours = {name.lower().removeprefix(_PREFIX): value for name, value in environ.items() if _is_ours(name)}
    given = {name: value for name, value in ours.items() if value}  # an empty one counts as not set
    if all(name in _CHECKS and _holds(_CHECKS[name], value) for name, value in given.items()):
        return urls.database_url(given.get("database_url", _DEFAULT))
    from orchestrator.settings.environment import load_settings

    return load_settings().database_url


def _is_ours(name: str) -> bool:
    return name.lower().startswith(_PREFIX)


def _holds(check: Callable[[str], object], value: str) -> bool:
    try:
        return bool(check(value))
    except ValueError:
        return False
