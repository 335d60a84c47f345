"""Versions whose endpoints are no services of Ekiben's: looked at, and never started."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from ekiben.experiments.document import Document

_PATIENCE_S: Final = 2.0


async def unanswered(document: Document) -> dict[str, str]:
    """The endpoints with a dialect where nobody listens: a name → a line that says so. Takes 2 s at most."""
    found = {
        (f"{model}_{version}", endpoint): f"{model} {version}"
        for model, its in document.models.items()
        for version, one in its.versions.items()
        if one.dialect is not None
        for endpoint in one.endpoints
    }
    listens = await asyncio.gather(*(_listens(endpoint) for _, endpoint in found))
    return {
        f"{name} at {endpoint}": f"{label}: nobody listens at {endpoint}; start it (it has a dialect)"
        for ((name, endpoint), label), there in zip(found.items(), listens, strict=True)
        if not there
    }


async def _listens(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
        writer.close()
        return True
    return False
