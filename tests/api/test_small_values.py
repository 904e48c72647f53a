"""A body of many small values takes many times its size as objects: it is refused before it is parsed."""

from unittest.mock import patch

import pytest

from orchestrator.api import bodies
from orchestrator.rules.installation.message_size import MOST_VALUES
from tests.api.stage import Api, answered

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("value", [b"{}", b"[]", b"1", b'{"\\u0000":1}'])
def test_a_body_of_many_values_is_refused_unread(api: Api, value: bytes) -> None:
    body = b'{"metadata":[' + b",".join([value] * MOST_VALUES) + b"]}"
    with patch.object(bodies, "json") as parser:
        response = api.operator.request("POST", "/sessions", content=body, headers=JSON)
    assert answered(response, 413)["code"] == "too_large"
    parser.loads.assert_not_called()
