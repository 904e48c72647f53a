"""References to secrets are recognized, and URLs lose their passwords."""

import pytest

from orchestrator.rules.installation.secret_texts import is_reference, redacted_url, with_certificates_checked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("env:KEY_1", True, id="a variable"),
        pytest.param("file:/run/secrets/key", True, id="a file"),
        pytest.param("env:", False, id="a variable without a name"),
        pytest.param("env:A B", False, id="a variable's name with a blank"),
        pytest.param("env:KEY_1\n", False, id="a line break behind it"),
        pytest.param("file:key", False, id="a file somewhere"),
        pytest.param("file:/run/secrets/../key", False, id="a file by a detour"),
        pytest.param("file:/run/\x00", False, id="a file's name with NUL"),
        pytest.param("sk-1234", False, id="the secret itself"),
    ],
)
def test_references(text: str, expected: bool) -> None:
    assert is_reference(text) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("redis://h:6379/0", "redis://h:6379/0", id="nothing to hide"),
        pytest.param("redis://:pw@h:6379/0", "redis://:***@h:6379/0", id="a password alone"),
        pytest.param("amqp://u:p@w/x@h//", "amqp://u:***@h//", id="a password with raw marks"),
        pytest.param("redis://token@h", "redis://***@h", id="a user that may be a token"),
        pytest.param("sentinel://:a@h;sentinel://:b@i", "sentinel://:***@h;sentinel://:***@i", id="several"),
        pytest.param("redis://h/0?password=pw&db=1", "redis://h/0?password=***&db=1", id="in the query"),
        pytest.param("pw", "***", id="no URL"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, expected: str) -> None:
    assert redacted_url(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("rediss://h/1", "rediss://h/1?ssl_cert_reqs=required", id="nothing said"),
        pytest.param("REDISS://h?db=1", "REDISS://h?db=1&ssl_cert_reqs=required", id="something else said"),
        pytest.param(
            "rediss://h/1?ssl_cert_reqs=none", "rediss://h/1?ssl_cert_reqs=none", id="the operator's word"
        ),
        pytest.param("redis://h/1", "redis://h/1", id="no TLS"),
        pytest.param(
            "rediss://h;rediss://i/0?ssl_cert_reqs=none",
            "rediss://h?ssl_cert_reqs=required;rediss://i/0?ssl_cert_reqs=none",
            id="each of several",
        ),
    ],
)
def test_redis_over_tls_proves_who_it_is_unless_the_url_says_otherwise(url: str, expected: str) -> None:
    assert with_certificates_checked(url) == expected
