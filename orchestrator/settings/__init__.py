"""What an operator configures: the environment, `orchestrator.toml`, and secrets by reference.

environment    reads `ORCHESTRATOR_*`
database       the URL of the database alone, without pydantic
unknown        variables with this prefix that nothing reads
reading        reads `orchestrator.toml` by the pydantic models in `tables` and `providers`; gives each fault its
               place and its words
configuration  the checked configuration, frozen, with every default
changes        lays changed values over it, for a look at what they would do
secrets        resolves `env:NAME` and `file:/path`; the keys of each provider that a process has
urls, sockets  URLs of the database and broker; where a private Valkey listens
file_limit     the limit of open files
faults         errors of the configuration, each with its place

A wrong setting is found at start, together with every other one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.settings.configuration import AttachRule, Configuration, ProviderConfiguration
    from orchestrator.settings.environment import Settings, load_settings
    from orchestrator.settings.faults import ConfigurationError, Fault
    from orchestrator.settings.providers import KnownDriver
    from orchestrator.settings.reading import TABLES, load_configuration
    from orchestrator.settings.secrets import SecretStore
    from orchestrator.settings.unknown import unknown_variables

#: Where each name is. It is imported when it is used: what only reads rows needs the environment and no more.
_PLACES = {
    "TABLES": "reading",
    "AttachRule": "configuration",
    "Configuration": "configuration",
    "ConfigurationError": "faults",
    "Fault": "faults",
    "KnownDriver": "providers",
    "ProviderConfiguration": "configuration",
    "SecretStore": "secrets",
    "Settings": "environment",
    "load_configuration": "reading",
    "load_settings": "environment",
    "unknown_variables": "unknown",
}

__all__ = [
    "TABLES",
    "AttachRule",
    "Configuration",
    "ConfigurationError",
    "Fault",
    "KnownDriver",
    "ProviderConfiguration",
    "SecretStore",
    "Settings",
    "load_configuration",
    "load_settings",
    "unknown_variables",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
