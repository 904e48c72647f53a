"""Variables with our prefix that nothing reads."""

import os
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from orchestrator.settings.configuration import Configuration
from orchestrator.settings.environment import PREFIX, Settings
from orchestrator.settings.faults import Fault
from orchestrator.validation.wording import did_you_mean

#: Of the tests, and what Kubernetes sets by itself for services with names like ours.
_NOT_OURS = re.compile(
    r"ORCHESTRATOR_(TEST_.*|PORT|(.*_)?SERVICE_(HOST|PORT(_.*)?)|(.*_)?PORT_[0-9]+_(TCP|UDP|SCTP)(_.*)?)"
)


def unknown_variables(configuration: Configuration, environ: Mapping[str, str] = os.environ) -> list[Fault]:
    """Return variables with our prefix that nothing reads: most likely they are misspelt. Their values are not shown.
    One that the configuration refers to is a secret, whatever its name, and is left out."""
    fields = {field.upper() for field in Settings.model_fields}
    patterns = list(_references(configuration))
    return [
        Fault((name,), f"unknown variable, it has no effect{did_you_mean(word, fields, PREFIX)}")
        for name in sorted(environ)
        if name.upper().startswith(PREFIX)
        and (word := name.upper().removeprefix(PREFIX)) not in fields
        and not _NOT_OURS.fullmatch(name.upper())
        and not any(fnmatchcase(f"env:{name}", pattern) for pattern in patterns)
    ]


def _references(configuration: Configuration) -> Iterator[str]:
    for provider in configuration.providers.values():
        yield from provider.secret_refs
    yield from (rule.secret_ref for rule in configuration.attach_allowed)
    for webhook in configuration.webhooks.values():
        yield from webhook.secret_refs
