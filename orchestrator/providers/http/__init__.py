"""The HTTP client, and how names are resolved.

client         sends a call, reads its answer within a bound, and says what is known of one that failed
calls          what a client is asked for
transport      makes requests, and sends them: the only place that knows aiohttp's sessions
reach          which addresses a request may go to
resolver, name_threads   resolve names, with bounds on those that hang
own_evidence, local_faults   whether this machine caused a failure
clock          the clock of the event loop, and whether it stood still
"""
