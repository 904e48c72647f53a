"""Sesterce AI inference: one session is one inference instance.

driver    the driver
control   the control API
endpoint  the endpoint of an instance
names     which instance an order means
options   its configuration
"""
