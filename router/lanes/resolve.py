"""Host names of endpoints, resolved again and again: a headless Kubernetes service is all its pods."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

Resolve = Callable[[str], Awaitable[list[str]]]
"""From a host name to its addresses, sorted. Raises `OSError`."""


async def resolve_host(host: str) -> list[str]:
    """The IPv4 addresses of `host`, or the IPv6 ones where it has no other."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label of no or more than 63 characters
        raise OSError(f"no host name: {error}") from None
    addresses = {family: set[str]() for family in (socket.AF_INET, socket.AF_INET6)}
    for family, _, _, _, address in found:
        if family in addresses:
            addresses[family].add(str(address[0]))
    return sorted(addresses[socket.AF_INET] or addresses[socket.AF_INET6])


def host_to_resolve(url: str) -> str | None:
    """The host name in `url`, or None where it has an address."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host or None
    return None


def with_address(url: str, address: str) -> str:
    """`url` with its host replaced by `address`."""
    parts = urlsplit(url)
    host = f"[{address}]" if ":" in address else address
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port is not None else "")
