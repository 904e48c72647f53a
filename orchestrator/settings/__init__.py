"""What an operator configures: the environment, `orchestrator.toml`, and secrets by reference.

environment    reads `ORCHESTRATOR_*`: the only reader of the environment
reading        reads `orchestrator.toml`, with `tables`, `policies` and `providers` for its parts
configuration  the checked configuration, frozen, with every default
secrets        resolves `env:NAME` and `file:/path`
urls, sockets  URLs of the database and broker; where a private Valkey listens
file_limit     the limit of open files
faults         errors of the configuration, each with its path

A wrong setting is found at start, together with every other one.
"""

from orchestrator.settings.configuration import AttachRule, Configuration, ProviderConfiguration
from orchestrator.settings.environment import Settings, load_settings, unknown_variables
from orchestrator.settings.faults import ConfigurationError, Fault
from orchestrator.settings.providers import OptionsValidator
from orchestrator.settings.reading import TABLES, load_configuration
from orchestrator.settings.secrets import SecretStore, is_reference
from orchestrator.settings.urls import redacted_url

__all__ = [
    "TABLES",
    "AttachRule",
    "Configuration",
    "ConfigurationError",
    "Fault",
    "OptionsValidator",
    "ProviderConfiguration",
    "SecretStore",
    "Settings",
    "is_reference",
    "load_configuration",
    "load_settings",
    "redacted_url",
    "unknown_variables",
]
