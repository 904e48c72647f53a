"""The console in a real browser, against the whole embedded platform and a simulator that misbehaves."""
