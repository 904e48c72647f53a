"""Logs and metrics for operators.

log      sets up logging; `limit` bounds repeated lines
metrics  the Prometheus metrics that each process counts
gauges   the Prometheus metrics that are read from the store
tracing  records spans where traces are on; `opentelemetry_sdk` sends them
serving  serves metrics and probes over HTTP
shared   shares counters between processes; used before the library is imported
"""
