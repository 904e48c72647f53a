"""What wake-ups do, one flow each.

admit_queued, wake_queues   admit queued sessions
open_due, resolve_due       open placements; resolve opens with a lost answer
after_open                  what follows from the answer
ping                        ping sessions
warn_due, stop_due          warn of stops; carry them out
close_due                   close placements until there is proof
funds_due, post_charges     the end of funds; hourly charges

claims        claim, ask and settle for open, resolve and close
targets       what a driver is given about a placement
late_answers  answers that arrive after their lease has expired
give_back     returns claims that have not begun when a worker leaves
"""
