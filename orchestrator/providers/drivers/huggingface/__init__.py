"""Hugging Face Inference Endpoints: one session is one dedicated endpoint.

driver   the driver
control  the control API
names    the names that we give to endpoints
options  its configuration
"""
