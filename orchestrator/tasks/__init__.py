"""Celery, thin: jobs of other services, and wake-ups of our own.

app      the Celery application and what a worker process holds
jobs     one task a job: `flows.jobs.perform`
ticks    one task a wake-up: which flow it runs, in which queue
waker    publishes wake-ups without ever holding anybody up
refusals how messages for nobody are told of
pools    the four kinds of work, and one Celery worker of each
worker   Celery's worker as we run it: its signals, and its pool of threads
draining how a process leaves when it is told to
"""
