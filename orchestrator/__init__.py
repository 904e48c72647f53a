"""Runs model sessions for a platform.

rules          decisions: pure functions over frozen values
validation     how wrong input is named
flows          claim, act, settle: what workers do with rows and providers
store          the database: the only package with SQL
providers      drivers of upstream platforms, and the HTTP client
settings       the environment, `orchestrator.toml`, secrets
client         what other services import to send jobs
observability  logs and metrics
tasks          the Celery workers
api            the HTTP API
console        its pages for people
scheduler      sends wake-ups
processes      trees of processes, and what `up` brings along
cli            the command `orchestrator`
wiring         builds the objects that flows use
simulator      simulated upstream platforms, which share no code with the rest
"""

#: Of the distribution too: pyproject.toml reads it here.
__version__ = "0.1.0"
