"""What wake-ups do, one flow each.

admit_queued, wake_queues   admit queued sessions
open_due, resolve_due       open placements; resolve opens with a lost answer; what follows from the answer
ping                        ping sessions
warn_due, stop_due          warn of stops; carry them out
close_due                   close placements until there is proof; settle many together
funds_due, post_charges     the end of funds; hourly charges

placement_steps  what open, resolve and close have in common: claim, settle under the lease, give back; late answers
targets          what a driver is given about a placement
"""
