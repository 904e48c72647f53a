"""Celery, thin: jobs of other services, and wake-ups of our own.

app      the Celery application and what a worker process holds
jobs     one task a job: `flows.jobs.perform`
ticks    one task a wake-up: which flow it runs, in which queue
runner   a bell and a runner for each wake-up: it works without messages too
liveness the row that each process keeps of itself
waker    sends wake-ups without ever delaying a commit
intake   between the broker and the tasks: a message is carried out or parked
any_arguments  lets a job have arguments of any name
unacked  gives back what a dead worker has not acknowledged, or parks it
parking  keeps messages aside that cannot be carried out
pools    the five kinds of work, and one process of each
worker   Celery's worker as we run it: its signals, and its pool of threads
draining how a process leaves when it is told to
"""
