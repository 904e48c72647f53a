"""Whether a session may start, and where.

quota        what the plan, the account and the provider's card allow
eligibility  which models an account may use
places       the order in which providers are tried
"""
