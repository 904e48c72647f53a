"""Every check, one line each, in the order in which they are shown."""

from collections.abc import Sequence

from orchestrator.cli.doctor import broker, clock, database, machines, processes, providers, settings, work
from orchestrator.cli.doctor.check import Check

CHECKS: Sequence[Check] = (
    Check("configuration", settings.configuration),
    Check("environment", settings.environment, ["configuration"]),
    Check("secrets", settings.secrets, ["configuration"]),
    Check("database", database.reachable),
    Check("configuration file", settings.file, ["database"]),
    Check("database file", database.file_mode, ["database"]),
    Check("revision", database.revision, ["database"]),
    Check("clock", clock.agrees, ["database", "revision"]),
    Check("timeouts", database.timeouts, ["database"]),
    Check("writes", database.writes, ["database", "revision"]),
    Check("broker", broker.reachable),
    Check("broker writes", broker.writes, ["broker"]),
    Check("broker keys", broker.keys, ["broker"]),
    Check("workers", processes.workers, ["database", "writes"]),
    Check("restarts", processes.restarts, ["database", "writes"]),
    Check("scheduler", processes.scheduler, ["database", "writes", "broker", "broker writes"]),
    Check("wake-ups", processes.wake_ups, ["scheduler", "workers", "broker keys"]),
    Check("jobs", processes.jobs, ["broker writes", "broker keys", "workers"]),
    Check("machine clocks", processes.machine_clocks, ["database", "writes"]),
    Check("work", work.overdue, ["database", "writes", "workers"]),
    Check("retention", work.retention, ["configuration", "database", "revision", "writes", "workers"]),
    Check("machines", machines.own_faults, ["database"]),
    Check("network", machines.network, ["database"]),
    Check("messages", work.messages, ["database"]),
    Check("webhooks", work.webhooks, ["database", "revision"]),
    Check("unknown providers", providers.unknown, ["configuration", "database", "configuration file"]),
    Check("providers", providers.alarms, ["configuration", "database"]),
)
