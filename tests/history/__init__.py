"""The cost of history: an account's past must make nothing slower, and must leave nothing behind."""
