"""What workers do: claim, act, settle. Rules decide; flows read and write rows, and call providers in between.

operations  for operators, and the platform's own upkeep
audit       checks the stored rows
reconcile   compares a provider's lists with our rows
jobs        one job of another service: `perform`, and its effects
steps       what wake-ups do: admit, open, resolve, ping, warn, stop, close, charge
upstream    brakes, alarms and keys of providers
lifecycle   one account under its lock: every change of its sessions and money
reports     rows as people and other services read them
engine      threads, slots, the event loop, and the pipeline of claim, act, settle

Each package imports only packages below it in this list; `audit`, `reconcile` and `jobs` do not import each other.
"""
