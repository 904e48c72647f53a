"""Upstream platforms: one file each behind one protocol.

driver      the protocol, its card, its values and its small error tree
registry    the names that `driver = "…"` may take; builds drivers from the configuration
options     what the configuration of every driver has in common
openai, morpheus (with morpheus_slot)   one platform each

http        the one HTTP client; the only place that knows the transport
answers     what came back: readings of one answer, Retry-After
secrets     how a secret goes into a request, and stays out of every message
faults      from error bodies to verdicts: the shared table of rules
lifecycle   from verdicts to the errors of control calls; model lists
chat        the minimal ping over OpenAI's wire format
ladder      its fallbacks over the limit of tokens

No rules, no database, no clock beyond a monotonic deadline.
"""
