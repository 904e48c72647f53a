"""How operators see inside: logging (`log`), and the events stream (`stream`)."""
