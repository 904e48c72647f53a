"""Whether a provider, a key or a network is at fault.

brake         stops deaths where most sessions of a provider or key fail at once
alarms        open alarms about providers, keys and models
network       distinguishes a provider that is down from a worker without network
placements    what the answer to an open, a resolve or a close means, and when it is asked again
local_faults  errors that happen on the worker's own machine
addresses     which addresses a foreign URL may lead to
"""
