"""How operators see inside: logging (`log`), metrics (`metrics`, and `shared`, said before it is imported)."""
