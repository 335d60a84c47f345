"""`python -m ekiben.state.wait`: end when the state Redis answers, so that what starts next finds it there.

A new pod has no copy of the experiments: it would route by the file, whatever was changed since.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Final

from redis.exceptions import RedisError

from ekiben.process.environ import data_dir
from ekiben.state.documents.document import open_state
from ekiben.state.embedded import EmbeddedRedisError, addresses

_EVERY_S: Final = 0.5
_TELL_EVERY: Final = 20  # looks


async def wait_for_state(url: str, tell: Callable[[str], None]) -> None:
    """Return once the Redis at `url` answers. Every 10 s `tell` hears why it has not."""
    redis = open_state(url)
    looks = 0
    try:
        while True:
            try:
                await redis.ping()
            except (RedisError, OSError) as error:
                if looks % _TELL_EVERY == 0:
                    tell(f"waiting for the state Redis: {error}")
                looks += 1
                await asyncio.sleep(_EVERY_S)
            else:
                return
    finally:
        await redis.aclose()


def main() -> int:
    """Wait for the Redis that the environment names. Returns the exit code: 2 for a bad address."""

    def tell(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    try:
        found = addresses(os.environ, data_dir(os.environ))
        asyncio.run(wait_for_state(found.state_url, tell))
    except (EmbeddedRedisError, ValueError) as error:
        tell(f"ekiben.state.wait: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
