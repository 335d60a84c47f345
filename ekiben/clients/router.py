"""The router that a command asks, through the public client, and one line about what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ekiben.client import BadAnswer, Client, ClientError, NoAnswer
from ekiben.terminal.errors import EkibenError, UsageError
from ekiben.terminal.settings import Settings, api_key, proxy_of

_TIMEOUT_S = 10.0
_OTHER = "with EKIBEN_ROUTER_URL"


@contextmanager
def open_router(environ: Mapping[str, str], patience_s: float = 0.0) -> Iterator[Client]:
    """The router that EKIBEN_ROUTER_URL names, else the one on this machine, shown this machine's key.

    What goes wrong with it in the block is an EkibenError. Raises `BadSetting` and UsageError.
    """
    url = Settings.from_environ(environ).router_url
    proxy = proxy_of(environ, url)
    try:
        client = Client(url, api_key(environ), timeout=_TIMEOUT_S, patience=patience_s, proxy=proxy)
    except ValueError as error:
        raise UsageError(f"EKIBEN_ROUTER_URL or EKIBEN_API_KEY: {error}") from None
    with client, in_a_line(client):
        yield client


@contextmanager
def in_a_line(router: Client) -> Iterator[None]:
    """What goes wrong with the router in the block is an EkibenError, which says how to fix it."""
    try:
        yield
    except NoAnswer as error:
        raise EkibenError(
            f"no router answers at {router.url} ({error}): start one with `ekiben up`, "
            f"or name another {_OTHER}"
        ) from None
    except BadAnswer as error:
        raise EkibenError(f"{error}: name the right one {_OTHER}") from None
    except ClientError as error:
        raise EkibenError(str(error)) from None
