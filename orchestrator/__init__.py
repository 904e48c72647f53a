"""Runs model sessions for a platform.

rules          decisions: pure functions over frozen values
flows          claim, act, settle: what workers do with rows and providers
store          the database: the only package with SQL
providers      drivers of upstream platforms, and the HTTP client
settings       the environment, `orchestrator.toml`, secrets
client         what other services import to send jobs
observability  logs and metrics
tasks          the Celery workers
scheduler      sends wake-ups
cli            the command `orchestrator`
wiring         builds the objects that flows use
simulator      simulated upstream platforms, which share no code with the rest
"""
