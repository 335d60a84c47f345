"""`python -m tests.proofs.upgrade.make CHECKOUT`: writes `data/`, with a checkout of 30e8d9b.

1. Its router answers 30 predictions and takes 8 outcomes, and its controller records them.
2. The controller is killed. Its recorder runs once more, and ends between the files and the acknowledgement.
3. The router answers 20 more predictions and takes 4 more outcomes. Nobody records them.

`data/dump.rdb` is its Redis then (streams, pending entries, document, history, beats). `data/events` has its
files, and `data/ids.json` the ids of everything that a client was told.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.proofs.upgrade.station import Station

DATA: Final = Path(__file__).parent / "data"
# Run by 30e8d9b's own code: the last thing that its recorder does does not happen.
_RECORD_WITHOUT_ACKNOWLEDGING: Final = """
import asyncio, sys
from redis.asyncio import Redis
from control.event_files import EventFiles
from control.recorder import Recorder

class Lease:
    def held(self): return True

async def main(url, events):
    recorder = Recorder(Redis.from_url(url), EventFiles(events), Lease())
    async def killed(taken, bad): raise OSError("killed")
    for intake in recorder._intakes: intake.acknowledge = killed
    await recorder.record_all()

asyncio.run(main(*sys.argv[1:]))
"""


async def send(url: str, first: int, predictions: int, outcomes: int) -> dict[str, list[str]]:
    """Predictions of users by number, and outcomes of the first of them; the ids that were answered."""
    ids: dict[str, list[str]] = {"exposure": [], "shadow": [], "outcome": []}
    async with aiohttp.ClientSession() as session:
        for number in range(first, first + predictions):
            body = {"user_id": f"u-{number}", "features": {"row": number}}
            async with session.post(f"{url}/predict/credit", json=body) as answer:
                prediction = (await answer.json())["prediction_id"]
            ids["exposure"].append(prediction)
            ids["shadow"].append(f"{prediction}.v3")
            if number < first + outcomes:
                given: dict[str, Any] = {"name": "profit", "value": float(number), "id": f"o-{number}"}
                given |= {"user_id": f"u-{number} "} if number % 2 else {"prediction_id": prediction}
                async with session.post(f"{url}/outcomes", json={"outcomes": [given]}) as answer:
                    assert answer.status == 202, await answer.text()
                ids["outcome"].append(f"o-{number}")
    await asyncio.sleep(1.0)  # the last block, the last shadow's answer
    return ids


async def make(former: Path) -> None:
    """Write `DATA`."""
    with (
        tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder,
        Station(Path(folder), former) as station,
    ):
        async with station.state.client() as redis:
            router = station.router("former")
            controller = station.controller("former")
            await asyncio.sleep(2.0)
            recorded = await send(router.url, 0, 30, 8)
            await station.drained(redis)
            controller.kill()
            pending = await send(router.url, 30, 5, 2)
            command = [
                sys.executable,
                "-c",
                _RECORD_WITHOUT_ACKNOWLEDGING,
                station.state.url,
                station.files.root,
            ]
            environ = {"PYTHONPATH": str(former)}
            await asyncio.to_thread(subprocess.run, command, check=True, env=environ)
            waiting = await send(router.url, 35, 20, 4)
            await redis.save()
            shutil.rmtree(DATA, ignore_errors=True)
            shutil.copytree(station.files.root, DATA / "events", ignore=shutil.ignore_patterns(".staging"))
            shutil.copy(Path(folder) / "dump.rdb", DATA)
        ids = {kind: [*recorded[kind], *pending[kind], *waiting[kind]] for kind in recorded}
        (DATA / "ids.json").write_text(json.dumps({"made_at": time.time(), **ids}, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(make(Path(sys.argv[1])))
