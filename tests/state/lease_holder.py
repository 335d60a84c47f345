"""A process that holds the lease and changes the document when it is told to: to be stopped in between.

`python -m tests.state.lease_holder REDIS_URL HOLDER TTL_S`; a line on standard input is a coverage to set,
and each answer is a line on standard output.
"""

from __future__ import annotations

import asyncio
import sys

from ekiben.process.tasks import end_tasks
from ekiben.state.connecting import open_state
from ekiben.state.documents.document import Conflict, DocumentStore
from ekiben.state.lease import Lease, LeaseLost
from tests.router.documents import EXPERIMENT


def say(word: str) -> None:
    print(word, flush=True)  # noqa: T201 - the test reads it


async def main(url: str, holder: str, ttl_s: float) -> None:
    redis = open_state(url)
    store, lease = DocumentStore(redis), Lease(redis, holder, ttl_s)
    held = await store.load()
    assert held is not None
    running = asyncio.create_task(lease.run(lambda leading: say("leading" if leading else "lost")))
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        # The document was decided on before the process was stopped, as a slow verdict would have been.
        document = held.document
        experiment = document.experiments[EXPERIMENT].model_copy(update={"coverage": float(line)})
        changed = document.model_copy(update={"experiments": {EXPERIMENT: experiment}})
        try:
            await store.change(held, changed, who=holder, why="told to", lease=lease)
            say("changed")
        except (Conflict, LeaseLost) as error:
            say(type(error).__name__)
    await end_tasks(running)
    await redis.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
