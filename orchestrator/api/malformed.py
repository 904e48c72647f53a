"""Answers what is no HTTP with a problem document: such a request reaches no route."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.api.problems import ApiCode, Problem, answer


class ProblemProtocol(H11Protocol):
    """uvicorn's protocol for HTTP. It answers what it cannot read with a problem, where uvicorn sends plain text."""

    def send_400_response(self, msg: str) -> None:
        """Answer, and close the connection; close it alone where an answer is under way. `msg`: uvicorn's text."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            said = f"{msg.rstrip('.')}: check its first line, its Host and the length of its body"
            refused = answer(Problem(ApiCode.MALFORMED, said, headers={"Connection": "close"}))
            response = h11.Response(status_code=refused.status_code, headers=refused.raw_headers)
            for event in (response, h11.Data(data=bytes(refused.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
