"""Check the stored rows against `rules/audit/`.

audit_store  one run: what has changed, the next rows in turn, what is late
auditor      checks rows and collects findings
"""
