"""Upstream platforms: one driver each, behind one protocol.

registry  the names that `driver = "…"` may take
drivers   one file or folder for each
chat      the minimal ping over OpenAI's wire format
shared    what several drivers use: options, model lists, closes
http      the HTTP client and the name resolver
port      the protocol: Driver, Card, answers, errors
checks    combinations of providers that cannot work

No decisions about sessions, and no database. The platform's own time decides what has ended; ours only where no
platform can be asked.
"""
