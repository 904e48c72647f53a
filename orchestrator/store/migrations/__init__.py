"""Alembic migrations. Expand first, migrate, contract a release later: old workers run meanwhile."""
