"""The images' health check: exits 0 when `/readyz` answers 200 within 2 s, else 1.

`healthcheck.py VARIABLE PORT`: the port is what the environment variable says, PORT unless it is set.
"""

from __future__ import annotations

import http.client
import os
import sys

_TIMEOUT_S = 2.0


def is_ready(port: int) -> bool:
    """Whether the process of this container answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_ready(int(os.environ.get(sys.argv[1]) or sys.argv[2])) else 1)
