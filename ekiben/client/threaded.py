"""The client for threads, over urllib3."""

from __future__ import annotations

import ssl
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Self
from urllib.parse import unquote

try:
    import urllib3
except ModuleNotFoundError:
    raise ImportError(
        "ekiben.client.Client needs urllib3: install it with pip install 'ekiben[client]'"
    ) from None

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


class Client:
    """A client of the router at `url`, http(s), shown `key` where the router asks for one.

    Threads may share it, and should. It keeps up to 100 connections. A process that forks opens a client on
    each side. Close it, or use it as a context manager.

    `timeout` (seconds) bounds a prediction with its second try, and each try to send outcomes. Of an answer
    that comes in parts it bounds the wait for each part. `patience` (seconds) is how long outcomes are tried
    again. `headers` go with every request. `tls` replaces the system's authorities:
    `ssl.create_default_context(cafile="our-ca.pem")`. Only a `proxy` that is named here is used, and no
    redirect is followed. Raises ValueError for what cannot be an address, a key or a time.
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
        options: dict[str, Any] = {"maxsize": CONNECTIONS, "ssl_context": tls}
        if proxy is None:
            self._pool = urllib3.PoolManager(**options)
        else:
            login = urllib3.util.parse_url(proxy).auth
            shown = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None
            self._pool = urllib3.ProxyManager(proxy, proxy_headers=shown, **options)

    @property
    def url(self) -> str:
        """The router's address, without a slash at its end."""
        return self._router.url

    def predict(
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
        """The answer of the user's version, or of live without a user or where that version fails.

        `attributes` are facts about the user for experiments that not everybody takes part in. `fresh` asks
        the model even when the answer is known. `version` names the one that alone is to answer, outside
        experiments. `headers` go with this request, such as `X-Request-ID` and `traceparent`. A number that
        is NaN is sent as null.

        A connection that cannot be made or breaks is tried once more within the same `timeout`. Nothing else
        is: the router has tried live already. Raises `ClientError`, and `Refused` for the application's own
        mistakes.
        """
        asked = ask_prediction(model, user, features, attributes, fresh, version, headers)
        return self._router.read_prediction(self._ask(asked))

    def outcome(
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
        """Report an outcome as `outcomes` does, and return it with its id. `Outcome` describes the fields."""
        given = {} if id is None else {"id": id}
        outcome = Outcome(
            name=name, value=value, prediction_id=prediction_id, user_id=user_id, at=at, **given
        )
        self.outcomes([outcome], patience=patience)
        return outcome

    def outcomes(self, outcomes: Sequence[Outcome], *, patience: float | None = None) -> None:
        """Return when the router has stored all of these outcomes, at most 1,000.

        They are sent again, with the same ids, after broken connections, time-outs, 429 and 5xx, with growing
        random pauses and never before the `Retry-After` of an answer. No try begins once `patience` is over,
        and with 0 there is one try. Raises `ClientError`. After `Refused` none of them is stored. After any
        other error they may be stored or not: keep them and send the same ones later. What was stored already
        is not counted again.
        """
        sent = send_outcomes(outcomes)
        tries = Tries(time.monotonic() + (self._router.patience if patience is None else patience))
        while True:
            try:
                answer = self._send(sent, self._router.timeout)
                return self._router.check_stored(answer, len(outcomes))
            except (NoAnswer, Unavailable) as error:
                time.sleep(tries.pause(error, time.monotonic()))

    def get(self, path: str, also: Collection[int] = ()) -> dict[str, Any]:
        """The JSON object of another page of the router, such as `/models`, answered with 200 or a status of
        `also`. Raises `ClientError`.
        """
        return self._router.read_object(self._ask(Request(path)), also)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: Request) -> Answer:
        """Send what may be sent twice, within `timeout`."""
        ends = time.monotonic() + self._router.timeout
        try:
            return self._send(request, self._router.timeout)
        except NoAnswer:
            if (left := ends - time.monotonic()) <= 0:  # always so after a time-out
                raise
        return self._send(request, left)

    def _send(self, request: Request, timeout_s: float) -> Answer:
        # The library sends headers in Latin-1, and the router reads UTF-8.
        headers = {name: it.encode().decode("latin-1") for name, it in self._router.headers(request).items()}
        try:
            response = self._pool.request(
                request.method,
                self._router.url + request.path,
                body=request.body,
                headers=headers,
                timeout=urllib3.Timeout(total=timeout_s),
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.NewConnectionError as error:  # to urllib3 it is a kind of time-out
            raise no_answer(error) from None
        except urllib3.exceptions.TimeoutError:
            raise TimedOut(f"no answer within {self._router.timeout:g} s") from None
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise no_answer(error) from None
        return Answer(response.status, response.headers, response.data)
