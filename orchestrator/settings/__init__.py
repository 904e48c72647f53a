"""What an operator says: the environment, `orchestrator.toml` and the secrets that both refer to.

The only reader of the environment. A wrong setting is found at start, with every other one, by its path.
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
