"""HTTP as an attacker sends it: bytes of one's own, and what comes back."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

TIMEOUT_S = 6.0


class Answer(NamedTuple):
    """A response; status 0 where the connection ended without one."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


NOTHING = Answer(0, {}, b"")


def request(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """A request as bytes. Header names are given with `_` for `-`; host and content type have defaults."""
    fields = {"host": "127.0.0.1", "content-type": "application/json"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None and "transfer-encoding" not in fields:
        fields["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")


def send(port: int, data: bytes, timeout_s: float = TIMEOUT_S) -> Answer:
    """Send bytes on a connection of their own and read the first answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        try:
            connection.sendall(data)
        except OSError:
            pass  # who refuses a body may close before all of it is sent
        return read_answer(connection)


def read_answer(connection: socket.socket) -> Answer:
    """Read one answer from a connection."""
    received = b""
    try:
        while b"\r\n\r\n" not in received:
            part = connection.recv(65_536)
            if not part:
                return NOTHING
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        status, headers = parse_head(head)
        length = headers.get("content-length")
        while length is None or len(body) < int(length):
            part = connection.recv(65_536)
            if not part:
                break
            body += part
    except OSError:
        return NOTHING
    return Answer(status, headers, body)


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """The status and the headers, names in lower case, of a head without its empty line."""
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return int(first.split()[1]), {name.strip().lower(): value.strip() for name, _, value in fields}


def get(port: int, path: str, **headers: str) -> Answer:
    """A GET on a connection of its own."""
    return send(port, request("GET", path, connection="close", **headers))


def post(port: int, path: str, data: Any, **headers: str) -> Answer:
    """A POST of JSON on a connection of its own."""
    body = data if isinstance(data, bytes) else orjson.dumps(data)
    return send(port, request("POST", path, body, connection="close", **headers))
