"""Upstream platforms: one file each behind one protocol.

driver      the protocol, its card, its values and its small error tree
http        the one HTTP client; the only place that knows the transport
chat        the minimal ping over OpenAI's wire format: ladder, verdicts, error bodies
registry    the names that `driver = "…"` may take; builds drivers from the configuration

No rules, no database, no clock beyond a monotonic deadline.
"""
