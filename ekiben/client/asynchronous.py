"""The client for asyncio, over aiohttp."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import aiohttp

from ekiben.client.calls import (
    CONNECTIONS,
    PATIENCE_S,
    TIMEOUT_S,
    Answer,
    Request,
    Router,
    Tries,
    ask_prediction,
    send_outcomes,
)
from ekiben.client.errors import NoAnswer, TimedOut, Unavailable, no_answer
from ekiben.client.values import Outcome, Prediction


class AsyncClient:
    """`Client` for asyncio: the same arguments, methods and errors, and the methods are awaited.

    Tasks of one event loop may share it, and should. It opens up to 100 connections, and who needs more waits
    for one. It belongs to the event loop in which it is first used, and no other thread may use it.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        patience: float = PATIENCE_S,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        self._router = Router(url, key, timeout, patience, headers)
        self._tls = tls
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """The router's address, without a slash at its end."""
        return self._router.url

    async def predict(
        self,
        model: str,
        user: str | None,
        features: Mapping[str, Any],
        *,
        attributes: Mapping[str, Any] | None = None,
        fresh: bool = False,
        version: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Prediction:
        """As `Client.predict`."""
        asked = ask_prediction(model, user, features, attributes, fresh, version, headers)
        return self._router.read_prediction(await self._ask(asked))

    async def outcome(
        self,
        name: str,
        value: float,
        *,
        prediction_id: str | None = None,
        user_id: str | None = None,
        at: datetime | str | None = None,
        id: str | None = None,  # noqa: A002 - the field's name in the API
        patience: float | None = None,
    ) -> Outcome:
        """As `Client.outcome`."""
        given = {} if id is None else {"id": id}
        outcome = Outcome(
            name=name, value=value, prediction_id=prediction_id, user_id=user_id, at=at, **given
        )
        await self.outcomes([outcome], patience=patience)
        return outcome

    async def outcomes(self, outcomes: Sequence[Outcome], *, patience: float | None = None) -> None:
        """As `Client.outcomes`."""
        sent = send_outcomes(outcomes)
        tries = Tries(time.monotonic() + (self._router.patience if patience is None else patience))
        while True:
            try:
                answer = await self._send(sent, self._router.timeout)
                return self._router.check_stored(answer, len(outcomes))
            except (NoAnswer, Unavailable) as error:
                pause_s = tries.pause(error, time.monotonic())
            await asyncio.sleep(pause_s)

    async def get(self, path: str, also: Collection[int] = ()) -> dict[str, Any]:
        """As `Client.get`."""
        return self._router.read_object(await self._ask(Request(path)), also)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, request: Request) -> Answer:
        """Send what may be sent twice, within `timeout`."""
        ends = time.monotonic() + self._router.timeout
        try:
            return await self._send(request, self._router.timeout)
        except NoAnswer:
            if (left := ends - time.monotonic()) <= 0:  # always so after a time-out
                raise
        return await self._send(request, left)

    async def _send(self, request: Request, timeout_s: float) -> Answer:
        if self._session is None:  # made where an event loop runs
            connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=True if self._tls is None else self._tls)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.request(
                request.method,
                self._router.url + request.path,
                data=request.body,
                headers=self._router.headers(request),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except TimeoutError:
            raise TimedOut(f"no answer within {self._router.timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise no_answer(error) from None
