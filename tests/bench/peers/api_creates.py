"""Creates over the HTTP API, on connections that are kept open: a client in a process of its own.

python -m tests.bench.peers.api_creates PORT COUNT NAME CONNECTIONS    # the token is the first line of its input
"""

import json
import sys
from http.client import HTTPConnection
from threading import Thread


def main() -> None:
    """Create as many sessions as were asked for. Say how many were created, and which answers the others got."""
    port, count, name, connections = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    token = sys.stdin.readline().strip()
    refused: list[str] = []

    def send(first: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        for n in range(first, count, connections):
            refused.extend(_create(connection, token, n, name))
        connection.close()

    threads = [Thread(target=send, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps({"created": count - len(refused), "refused": refused[:1]}) + "\n")


def _create(connection: HTTPConnection, token: str, n: int, name: str) -> list[str]:
    session_id = f"{name}-{n}"
    body = json.dumps({"account_id": f"a{n + 1}", "model_id": "llama", "session_id": session_id})
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/sessions", body, {**headers, "Idempotency-Key": session_id})
    answer = connection.getresponse()
    said = answer.read().decode()
    return [] if answer.status == 201 else [said]


if __name__ == "__main__":
    main()
