"""Which addresses a foreign URL may lead to: the public internet, and whatever the operator allows."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Ranges that are registered as global, or that some versions of Python call global, but must not be reached: ways into
#: any IPv4 network behind a translator or a relay, the protocols' own ranges, and a cloud's services for its guests.
_SPECIAL = tuple(
    ip_network(network)
    for network in (
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "::/96",
        "fec0::/10",  # site-local, until RFC 3879
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays, until RFC 7526
        "168.63.129.16/32",  # Azure's host, to its guests
    )
)
_LOCALHOST = "localhost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """What `[attach]` permits beyond the public internet."""

    named: frozenset[str] = frozenset()
    """Hosts of rules that are themselves addresses, or `localhost`: exactly these may be reached."""
    networks: tuple[Network, ...] = ()
    """Ranges that a host's name may lead to."""

    def allows(self, host: str, address: str) -> bool:
        """Return whether `host` may be reached at `address`, which it resolved to (or is)."""
        at = parsed(address)
        if at is None:
            return False
        if host in self.named and at == parsed(host):
            return True
        if host == _LOCALHOST and host in self.named and at.is_loopback:
            return True
        return is_public(at) or any(
            at in network for network in self.networks if network.version == at.version
        )


def is_address_or_local(host: str) -> bool:
    """Return whether the host of a rule means exactly one machine."""
    return host == _LOCALHOST or parsed(host) is not None


def is_loopback(host: str) -> bool:
    """Return whether the host of a rule means this machine itself: nothing that is sent there leaves it."""
    address = parsed(host)
    return host == _LOCALHOST or (address is not None and address.is_loopback)


def is_public(address: Address) -> bool:
    """Return whether the address is public, and does not lead back into a private network."""
    if any(address in special for special in _SPECIAL if special.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def parsed(text: str) -> Address | None:
    """Return the text as an address, IPv4 for one that is mapped into IPv6; None for a name."""
    try:
        address = ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def hides_an_address(host: str) -> bool:
    """Return whether resolvers read this name as an IPv4 address: 2130706433, 0x7f.1, 127.1."""
    last = host.rstrip(".").rpartition(".")[2]
    numeric = last.isdigit() or (last.startswith("0x") and all(c in "0123456789abcdef" for c in last[2:]))
    return numeric and parsed(host) is None


def whole_network(text: str) -> Network | None:
    """Return a range as people write it; None for other text, or if bits are set beyond its length."""
    try:
        return ip_network(text)
    except ValueError:
        return None
