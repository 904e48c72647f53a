"""What a session does next.

decide  what follows from a ping; the next step of a live session
pings   what pings change: streak, doubts, proof of life;
        how a busy server differs from a dead one
uses    what reported interactions and successes change, and when they move the next step
stops   when a session stops and why; when to warn
"""
