"""Upstream platforms: one file each behind one protocol.

driver      the protocol, its card, its values and its small error tree
registry    the names that `driver = "…"` may take; builds drivers from the configuration
options     what the configuration of every driver has in common, and what error bodies mean there
openai, aimlapi, sesterce (with sesterce_*), morpheus (with morpheus_slot)   one platform each
morpheus_node (with morpheus_chain, its calls, and morpheus_wallet, which tells whose a session is)
fpt (with fpt_options, fpt_attach, fpt_template, fpt_control)   endpoints from elsewhere, and any plain JSON control API
templates, paths                        calls as data, and where their answers say what

http        the one HTTP client; the only place that knows the transport
answers     what came back: readings of one answer, Retry-After
secrets     how a secret goes into a request, and stays out of every message
faults      from error bodies to verdicts: the shared table of rules
always_on   what drivers without a lifecycle share
lifecycle   from verdicts to the errors of control calls; model lists
chat        the minimal ping over OpenAI's wire format
ladder      its fallbacks over the limit of tokens
numbers     money as other people write it

No rules, no database, no clock beyond a monotonic deadline: the platform's own time decides what has ended, and
our own only where there is no platform to ask (fpt_attach).
"""
