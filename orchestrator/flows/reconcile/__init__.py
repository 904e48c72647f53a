"""Compare a provider's lists with our rows, both ways. `rules/reconcile/compare.py` decides what follows.

reconcile_due      reads the lists and compares
ask_status         asks a platform about single placements
apply_differences  carries out what was decided
reports            the request for a comparison, and its result
"""
