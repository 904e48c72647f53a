"""The forms that texts of a driver's configuration must have, in words: few people read regular expressions."""

from collections.abc import Mapping

from orchestrator.providers.shared.looks import LOOK_PATH

#: An address without query or fragment.
URL = r"^https?://[^/\s?#]+[^\s?#]*$"
#: The same, or empty.
URL_OR_NONE = f"^$|{URL}"
#: An address of an endpoint: a query may follow.
ENDPOINT_URL = r"^https?://\S+$"
ADDRESS = r"^0x[0-9a-fA-F]{40}$"
NAME_PREFIX = r"^[\w.-]{1,40}$"
TEMPLATE_URL = r"^(?:https?://[^/\s{}]+)?/\S*$|^https?://[^/\s{}]+$"

_AN_ADDRESS = "must be an address without query or fragment, such as https://host/v1"
WORDS: Mapping[str, str] = {
    URL: _AN_ADDRESS,
    URL_OR_NONE: _AN_ADDRESS,
    ENDPOINT_URL: "must be an address without spaces, such as https://host/v1",
    ADDRESS: "must be an Ethereum address: 0x and 40 hexadecimal digits",
    NAME_PREFIX: "must be 1 to 40 letters, digits, underscores, dots or dashes",
    TEMPLATE_URL: "must be a path that begins with /, or an address such as https://host/path; without spaces, and"
    " without braces in the host",
    LOOK_PATH: 'must be a path at the endpoint, such as "models" or "../health": ASCII letters, digits and any of'
    ' "_.~-", with single slashes between',
}
