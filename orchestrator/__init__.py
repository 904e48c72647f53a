"""Runs model sessions for a platform."""
