"""Every check, one line each, in the order in which they are shown."""

from collections.abc import Sequence

from orchestrator.cli.doctor import broker, database, machines, providers, settings, work
from orchestrator.cli.doctor.check import Check

CHECKS: Sequence[Check] = (
    Check("configuration", settings.configuration),
    Check("environment", settings.environment, ["configuration"]),
    Check("secrets", settings.secrets, ["configuration"]),
    Check("database", database.reachable),
    Check("database file", database.file_mode, ["database"]),
    Check("revision", database.revision, ["database"]),
    Check("broker", broker.reachable),
    Check("scheduler", work.scheduler, ["database"]),
    Check("work", work.overdue, ["database"]),
    Check("machines", machines.own_faults, ["database"]),
    Check("network", machines.network, ["database"]),
    Check("messages", work.messages, ["database"]),
    Check("providers", providers.alarms, ["configuration", "database"]),
)
