"""The Celery workers: jobs of other services, and wake-ups.

app            the Celery application, and the objects of a worker process
pools, run_pool   the five kinds of work, one process of each; how one runs
worker, draining, file_room, liveness   how a process runs, leaves, and reports that it lives
jobs, any_arguments, job_times   one task for each job: `flows.jobs.perform`
ticks          the flow of each wake-up
wake_ups       the table of wake-ups: names, kinds of work, intervals
runner         a runner for each wake-up, which also works without messages
waker          sends wake-ups without delaying a commit
steady         APScheduler on monotonic time
entries, intake, unacked   the three places where a message is read
parking, parked_copies, reasons   keeps messages aside that cannot be carried out, with the reason
broker_keys, visibility   keys in Redis; how long a message has been unacknowledged
outage, failure_log   bounded log lines about what keeps failing
"""
