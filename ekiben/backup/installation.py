"""What a backup is taken of and restored into: the state Redis, the event files and the user salt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ekiben.control.recording.files import EventFiles
from ekiben.process.environ import BadSetting, data_dir
from ekiben.state.connecting import open_state
from ekiben.state.embedded import EmbeddedRedis, EmbeddedRedisError, addresses, has_embedded
from ekiben.terminal.errors import EkibenError, UsageError


@dataclass(frozen=True, slots=True)
class Installation:
    """`salt` is None where nobody has needed one yet; `salt_is_set` says that the environment has it."""

    redis: Redis
    files: EventFiles
    data_dir: Path
    salt: str | None
    salt_is_set: bool


@asynccontextmanager
async def open_installation(environ: Mapping[str, str], *, create: bool) -> AsyncIterator[Installation]:
    """The installation that the variables of the router and the controller describe.

    An embedded Redis that does not run is started for as long as it is needed; where there has never been
    one, only with `create`. Raises EkibenError, also in place of what Redis and the disk raise inside.
    """
    folder = data_dir(environ)
    try:
        found = addresses(environ, folder)
        files = EventFiles(environ.get("EKIBEN_EVENTS_URL") or str((folder / "events").absolute()), environ)
        redis = open_state(found.state_url)
    except (BadSetting, EmbeddedRedisError, ValueError) as error:
        raise UsageError(str(error)) from None
    try:
        with ExitStack() as stack:
            if not (environ.get("EKIBEN_STATE_URL") or environ.get("REDIS_URL")):
                if not create and not has_embedded(folder):
                    raise UsageError(
                        f"{folder.absolute()} is not an installation: set EKIBEN_DATA_DIR, or "
                        "EKIBEN_STATE_URL and EKIBEN_EVENTS_URL, as the controller has them"
                    )
                await asyncio.to_thread(_start_embedded, stack, folder)
            given = environ.get("EKIBEN_USER_SALT", "")
            salt = given or _kept_salt(folder)
            yield Installation(redis, files, folder, salt, bool(given))
    except (RedisError, TimeoutError) as error:
        raise EkibenError(f"the state Redis failed: {error or 'no answer'}; see EKIBEN_STATE_URL") from None
    except OSError as error:
        raise EkibenError(f"{error.filename or 'the event files'}: {error.strerror or error}") from None
    finally:
        await redis.aclose()


def _start_embedded(stack: ExitStack, folder: Path) -> None:
    try:
        stack.enter_context(EmbeddedRedis(folder))
    except EmbeddedRedisError as error:
        if "already running" not in str(error):
            raise EkibenError(str(error)) from None


def _kept_salt(folder: Path) -> str | None:
    try:
        return (folder / "user_salt").read_text().strip()
    except FileNotFoundError:
        return None
