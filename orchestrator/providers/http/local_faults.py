"""Which errors of the transport are faults of this machine: one table, read wherever a call failed.

EHOSTUNREACH is not in it. Within a connect's deadline it means that a neighbour on the own network segment did not
answer: the gateway, or the host itself. Results at other providers show which (`rules/upstream/network.py`)."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator, Mapping

import aiohttp

from orchestrator.rules.upstream.local_faults import LocalFault

#: Errors of socket, connect and open.
OF_ERRNO: Mapping[int, LocalFault] = {
    errno.EMFILE: LocalFault.FILES,
    errno.ENFILE: LocalFault.FILES,
    errno.ENOMEM: LocalFault.MEMORY,
    errno.ENOBUFS: LocalFault.MEMORY,
    errno.EADDRNOTAVAIL: LocalFault.PORTS,
    errno.ENETUNREACH: LocalFault.ROUTE,
    errno.ENETDOWN: LocalFault.ROUTE,
    errno.EAFNOSUPPORT: LocalFault.ROUTE,
    errno.EPERM: LocalFault.ROUTE,  # the local firewall
    errno.EACCES: LocalFault.ROUTE,
}
#: Of these one address family may have none where the other works: they count where every address has the same family.
OF_ONE_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EAFNOSUPPORT})

#: Errors with numbers of their own.
_OWN_NUMBERS = (socket.gaierror, ssl.SSLError)

#: The resolver says that there is no such name; without a working resolver, some systems say the same.
NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Return the error and those it was raised from, however deep the transport has wrapped them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = getattr(error, "os_error", None) or error.__cause__ or error.__context__


def plain_fault(error: BaseException, *, one_family: bool) -> LocalFault | None:
    """Return the fault that the error alone proves. `one_family`: the host has no addresses of two families."""
    for cause in causes(error):
        if isinstance(cause, MemoryError):
            return LocalFault.MEMORY
        if isinstance(cause, RuntimeError) and "can't start new thread" in str(cause):
            return LocalFault.THREADS
        if isinstance(cause, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
            return LocalFault.PROXY
        number = cause.errno if isinstance(cause, OSError) and not isinstance(cause, _OWN_NUMBERS) else None
        if number is not None and number in OF_ERRNO and (one_family or number not in OF_ONE_FAMILY):
            return OF_ERRNO[number]
    return None


def resolver_error(error: BaseException) -> int | None:
    """Return the resolver's own error number; None if another part failed."""
    found = (cause.errno for cause in causes(error) if isinstance(cause, socket.gaierror))
    return next(found, None)


def is_tls_error(error: BaseException) -> bool:
    """Return whether the handshake failed."""
    return any(isinstance(cause, aiohttp.ClientSSLError) for cause in causes(error))


def no_descriptor_is_free() -> bool:
    """Return whether the file table is full: the resolver then fails with errors that name another cause."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
