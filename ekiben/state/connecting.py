"""Connecting to the state Redis, and what it means when it does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ReadOnlyError, RedisError, ResponseError

from ekiben.process.environ import BadSetting


class StateUnavailable(Exception):
    """The state Redis did not answer, or answered nonsense."""


class Unreadable(StateUnavailable):
    """The state Redis answers, and this process cannot read what it holds: there is something."""


@contextmanager
def state_answers(*also: type[Exception]) -> Iterator[None]:
    """Raise as `StateUnavailable` what redis-py raises in this block, and `also` other errors; what Redis
    refuses is `Unreadable`."""
    errors: tuple[type[Exception], ...] = (RedisError, OSError, *also)
    try:
        yield
    except errors as error:
        # redis-py reports a missing password in more than one class.
        if isinstance(error, AuthenticationError) or "authenticat" in str(error).lower():
            raise Unreadable(f"the state Redis refuses the password: {error}") from error
        if isinstance(error, ResponseError):
            raise Unreadable(f"the state Redis refuses the command: {error}") from error
        raise StateUnavailable(str(error) or f"no answer ({type(error).__name__})") from error


def open_state(state_url: str) -> Redis:
    """A client of the state Redis, with time-outs: nobody waits for it without an end.

    A server that has become a replica is left: behind the same address there is another one by now.
    Raises `BadSetting` for what is no address.
    """
    try:
        return Redis.from_url(
            state_url, socket_timeout=2.0, socket_connect_timeout=1.0, retry_on_error=[ReadOnlyError]
        )
    except ValueError:  # its words may hold a part of the password
        raise BadSetting(
            "EKIBEN_STATE_URL (or REDIS_URL) must be the address of a Redis, such as redis://host:6379/0"
        ) from None
