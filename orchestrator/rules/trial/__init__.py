"""What other rules would do to the fleet. The rules themselves judge snapshots; nothing is written.

rulebook   the terms under which sessions live, as they are or as they would be
history    what is known of a session's past: doubts, and counts of its interactions
replay     pings of the past, or to come, judged under another policy
money_ends when the funds of an account would end
admitted   which sessions another quota would have refused
compare    what two rulebooks do to each session
"""
