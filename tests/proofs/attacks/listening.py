"""A server that notes what is sent to it, and answers everything in one way."""

from __future__ import annotations

import socket
import threading
from typing import Self


class Listening:
    """Listens with the block. `received` is everything that anybody sent."""

    def __init__(self, status: str = "502 Bad Gateway", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", "content-length: 0", "connection: close", *headers]
        self._answer = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.received = b""

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in accept is not woken by close.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5.0)
                try:
                    self.received += connection.recv(65_536)
                    connection.sendall(self._answer)
                except OSError:
                    pass
