"""Upstream platforms: one driver each, behind one protocol.

registry                          the names that `driver = "…"` may take
openai, aimlapi                   always-on endpoints
morpheus, morpheus_node, sesterce, fpt   platforms with sessions of their own
chat                              the minimal ping over OpenAI's wire format
shared                            what several drivers use: options, model lists, closes
http                              the HTTP client and the name resolver
port                              the protocol: Driver, Card, answers, errors
checks                            combinations of providers that cannot work

No rules and no database. The platform's own time decides what has ended; ours only where no platform can be asked.
"""
