"""What wake-ups do, one flow each.

admit_queued, wake_queues   admit queued sessions
open_due, resolve_due       open placements; resolve opens with a lost answer
after_open                  what follows from the answer
ping                        ping sessions
warn_due, stop_due          warn of stops; carry them out
close_due                   close placements until there is proof
funds_due, post_charges     the end of funds; hourly charges

placement_steps  what open, resolve and close have in common
proven_closes    settles many proven closes together
targets          what a driver is given about a placement
under_lease      locks what an answer is settled on
late_answers     answers that arrive after their lease has expired
give_back        returns claims of placements that have not begun when a worker leaves
"""
