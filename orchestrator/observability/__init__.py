"""Logs and metrics for operators.

log      sets up logging; `limit` bounds repeated lines
metrics  the Prometheus metrics
shared   shares counters between processes; used before the library is imported
"""
