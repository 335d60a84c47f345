"""`python -m ekiben.state.wait`: end when the state Redis answers, so that what starts next finds it there.

A new pod has no copy of the experiments: it would route by the file, whatever was changed since.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from typing import Final

from redis.exceptions import RedisError

from ekiben.process.environ import data_dir
from ekiben.state.connecting import open_state
from ekiben.state.embedded import EmbeddedRedisError, addresses

_EVERY_S: Final = 0.5
_TELL_EVERY: Final = 20  # looks


async def wait_for_state(url: str) -> None:
    """Return once the Redis at `url` answers. Says on standard error every 10 s why it has not."""
    async with open_state(url) as redis:
        for look in count():
            try:
                await redis.ping()
                return
            except (RedisError, OSError) as error:
                if look % _TELL_EVERY == 0:
                    sys.stderr.write(f"waiting for the state Redis: {error}\n")
            await asyncio.sleep(_EVERY_S)


def main() -> int:
    """Wait for the Redis that the environment names. Returns the exit code: 2 for a bad address."""
    try:
        asyncio.run(wait_for_state(addresses(os.environ, data_dir(os.environ)).state_url))
    except (EmbeddedRedisError, ValueError) as error:
        sys.stderr.write(f"ekiben.state.wait: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
