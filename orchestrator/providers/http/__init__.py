"""The HTTP client, and how names are resolved.

client         the only place that knows the transport
reach          which addresses a request may go to
resolver, name_threads   resolve names, with bounds on those that hang
encodings      decode compressed bodies within a bound
own_evidence, local_faults, stalls   whether this machine caused a failure
clock          the clock of the event loop
"""
