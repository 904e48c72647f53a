"""What we are compared with.

bare_client     the HTTP client alone, in a loop
plain_celery    Celery tasks as anyone writes them: one that does nothing, one that pings and updates its row
"""
