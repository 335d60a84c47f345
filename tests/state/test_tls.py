"""Redis over TLS, as managed ones are reached: a real Redis behind a TLS server with its own certificate."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from ekiben.state.connecting import open_state
from router.lanes.cache import RedisCache
from tests.certificates import certificate
from tests.redis_server import RedisServer
from tests.waiting import until_async


@asynccontextmanager
async def in_front_of(redis: RedisServer, folder: Path, address: str) -> AsyncIterator[tuple[int, Path]]:
    """A TLS server in front of `redis`, with a certificate for `address`: its port and the certificate."""
    found, key = certificate(folder, f"IP:{address}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(found, key)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, out = await asyncio.open_unix_connection(redis.path)
        await asyncio.gather(pump(reader, out), pump(inner, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], found
    finally:
        server.close()


async def test_state_and_cache_are_reached_over_tls(redis: RedisServer, tmp_path: Path) -> None:
    async with in_front_of(redis, tmp_path, "127.0.0.1") as (port, trusted):
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={trusted}"
        state, cache = open_state(url), RedisCache(url)
        try:
            assert await state.ping()

            async def stored() -> bool:
                cache.put_many([("v1:a", b"1")], 60)  # a store that takes too long is given up
                return await cache.get_many(["v1:a", "v1:b"]) == [b"1", None]

            await until_async(stored)
        finally:
            await cache.close()
            await state.aclose()


@pytest.mark.parametrize(("address", "trusts"), [("127.0.0.1", False), ("127.0.0.9", True)])
async def test_a_server_that_cannot_prove_who_it_is_is_not_talked_to(
    redis: RedisServer, tmp_path: Path, address: str, trusts: bool
) -> None:
    async with in_front_of(redis, tmp_path, address) as (port, trusted):
        state = open_state(f"rediss://127.0.0.1:{port}/0" + (f"?ssl_ca_certs={trusted}" if trusts else ""))
        try:
            with pytest.raises(RedisError, match=r"(?i)certificate"):
                await state.ping()
        finally:
            await state.aclose()
