"""Where foreign URLs may lead, address by address."""

from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.upstream.addresses import (
    Reach,
    hides_an_address,
    is_address_or_local,
    is_loopback,
    is_public,
    parsed,
    whole_network,
)

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "240.0.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2002:a00:1::",
    "2001:0:a00:1::",
    "fec0::1",
    "192.88.99.1",
    "168.63.129.16",
]
PUBLIC = ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1", "[2606:4700:4700::1111]"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_may_not_lead_into_a_private_network(address: str) -> None:
    assert not Reach().allows("api.example", address)
    assert not Reach().allows(address, address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_name_may_lead_to_the_public_internet(address: str) -> None:
    assert Reach().allows("api.example", address)


def test_what_is_no_address_is_reached_by_nobody() -> None:
    assert not Reach(named=frozenset({"api.example"})).allows("api.example", "api.example")


def test_an_address_that_the_operator_named_is_permitted_and_no_other() -> None:
    reach = Reach(named=frozenset({"127.0.0.1", "localhost", "::1"}))
    assert reach.allows("127.0.0.1", "127.0.0.1")
    assert reach.allows("::1", "::1")
    assert reach.allows("localhost", "127.0.0.1")
    assert reach.allows("localhost", "::1")
    assert not reach.allows("127.0.0.2", "127.0.0.2")
    assert not reach.allows("localhost", "10.0.0.1")
    assert not reach.allows("evil.example", "127.0.0.1"), "a name that leads there was not named"


def test_ranges_that_the_operator_named_are_permitted() -> None:
    reach = Reach(networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
    assert reach.allows("vllm.internal", "10.1.2.3")
    assert reach.allows("vllm.internal", "::ffff:10.1.2.3")
    assert reach.allows("vllm.internal", "fd00::7")
    assert not reach.allows("vllm.internal", "192.168.0.1")
    assert not reach.allows("vllm.internal", "fe80::7")


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "017700000001", "127.0.0.0x1", "1."]
)
def test_an_address_in_disguise_is_recognised(host: str) -> None:
    assert hides_an_address(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "api.example", "h2", "0xcafe.example", "a1.b2", "", "0xzz"]
)
def test_plain_hosts_hide_nothing(host: str) -> None:
    assert not hides_an_address(host)


def test_rules_for_one_machine_are_reported_from_rules_for_a_name() -> None:
    assert is_address_or_local("localhost")
    assert is_address_or_local("10.0.0.1")
    assert not is_address_or_local("api.example")


def test_ranges_are_read_as_people_write_them() -> None:
    assert whole_network("10.0.0.0/8") == ip_network("10.0.0.0/8")
    assert whole_network("10.0.0.1/8") is None
    assert whole_network("everything") is None


@given(st.ip_addresses(v=4))
def test_a_tunnel_or_a_mapping_hides_no_address(address: IPv4Address) -> None:
    assert parsed(f"::ffff:{address}") == address
    number = int(address)
    for tunnel in (
        f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}",
        f"2002:{number >> 16:x}:{number & 0xFFFF:x}::",
    ):
        at = parsed(tunnel)
        assert at is not None
        assert not is_public(at)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.1", False),
        ("", False),
    ],
)
def test_which_hosts_are_the_machine_itself(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
