"""The socket of the API. No web framework is imported here, so that `orchestrator up` quickly finds out whether the
port is free."""

import errno
import socket

from orchestrator.settings import ConfigurationError, Fault, Settings


def listen(settings: Settings) -> socket.socket:
    """Return the socket that the API is served on. Raises ConfigurationError with what to do where it is taken."""
    host, port = settings.api_host, settings.api_port
    if port is None:
        raise ConfigurationError([Fault(("ORCHESTRATOR_API_PORT",), "is off: name a port to serve the API")])
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        what = "port, or end what uses it" if error.errno == errno.EADDRINUSE else "address or port"
        message = f"cannot serve on {host}:{port}: {error.strerror}; choose another {what}"
        here = error.errno in (errno.EADDRINUSE, errno.EACCES)
        name = "ORCHESTRATOR_API_PORT" if here else "ORCHESTRATOR_API_HOST"
        raise ConfigurationError([Fault((name,), message)]) from None
