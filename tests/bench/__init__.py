"""Benchmarks: each figure is a ratio of two things measured in the same run, by turns, on servers that the run starts.

    python -m tests.bench NAME …     # a line of LINES in `__main__`, or `all`
    make bench, make bench-quick, make soak

figures, sizes            a figure with its limits · how large a run is
usage, machine            CPU-seconds and memory of processes · what the run ran on
servers, stage, seeds     PostgreSQL, Valkey, nginx · one database with processes of ours · sessions that run, in bulk
lines/                    one file for each line, or group of lines, of the table
peers/                    what we are compared with: the bare HTTP client, plain Celery tasks
results, compare          a run as a file · what has become worse since the kept one
report, numbers, sizing   Markdown and plots · what a given number of live sessions needs
soak                      a ping process with 2,000 requests in flight for minutes: is everything flat?
audit, history            what the audit and an account's past cost
"""
