"""Rows on which a model fails, beside everybody else's rows."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import aiohttp

from tests.ports import free_port
from tests.proofs.attacks.attack import Attack, Found
from tests.proofs.attacks.installation import Installation
from tests.proofs.attacks.wire import post
from tests.proofs.faults.answered import ERRORS, Kind
from tests.proofs.faults.answers import LIVE, TREATMENT
from tests.proofs.faults.station import Service

CLIENTS: Final = 4
EACH_A_SECOND: Final = 20
RATE: Final = 150.0
_SECONDS: Final = 4.0


def poisoned(poison: str, *versions: str) -> Callable[[Installation], Found]:
    """4 clients that each send 20 such rows a second, every one of them another."""
    return lambda installation: asyncio.run(_poisoned(installation, poison, versions))


async def _poisoned(installation: Installation, poison: str, versions: tuple[str, ...]) -> Found:
    statuses: Counter[str] = Counter()
    numbers = itertools.count()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session,
        installation.load(RATE) as load,
    ):

        async def send() -> None:
            number = next(numbers)
            features = {
                "row": f"poison-{poison}-{number}",
                "amount": number,
                "poison": poison,
                "in": versions,
            }
            body = {"user_id": f"user-{number}", "features": features}
            try:
                async with session.post(f"{installation.url}/predict/credit", json=body) as answer:
                    statuses[str(answer.status)] += 1
            except (aiohttp.ClientError, OSError, TimeoutError):
                statuses["none"] += 1

        async def client() -> None:
            sending: set[asyncio.Task[None]] = set()
            for _ in range(int(_SECONDS * EACH_A_SECOND)):
                sending.add(asyncio.create_task(send()))
                await asyncio.sleep(1 / EACH_A_SECOND)
            await asyncio.gather(*sending)

        await asyncio.sleep(0.5)
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    count = load.count()
    bad = (*ERRORS, Kind.WRONG)
    failed = sum(count[each] for each in bad) + load.left_out
    answered = ", ".join(f"{number} x {status}" for status, number in sorted(statuses.items()))
    why = f" ({'; '.join(load.details(*bad)[:1])})" if failed else ""
    return Found(
        failed == 0,
        f"{failed} of {len(load.samples)} ordinary requests failed{why}, {count[Kind.FALLBACK]} fell back; "
        f"the rows themselves: {answered}",
    )


def one_tag_for_two_versions(installation: Installation) -> Found:
    """Two versions that both answer as 1.0 are asked the same rows, twice."""
    ports = {version: free_port() for version in ("v1", "v2")}
    with ExitStack() as stack:
        for version, port in ports.items():
            service = Service(
                f"same-tag-{version}", version, port, installation.logs, "tests.proofs.attacks.same_tag"
            )
            stack.callback(service.terminate, 2.0)
            service.start()
        document = installation.document()
        for version, port in ports.items():
            document["models"]["credit"]["versions"][version]["endpoints"] = [f"http://127.0.0.1:{port}"]
        installation.put(document)
        answers: dict[tuple[str, int], set[str]] = {}
        for user, number in itertools.product(range(16), range(4)):
            features = {"row": f"same-tag-{number}", "amount": number}
            said = post(
                installation.port, "/predict/credit", {"user_id": f"u{user}", "features": features}
            ).data
            answers.setdefault((said["version"], number), set()).add(str(said["prediction"]["score"]))
    versions = {version for version, _ in answers}
    mixed = sum(len(scores) > 1 for scores in answers.values())
    crossed = sum(
        bool(answers.get((LIVE, number), set()) & answers.get((TREATMENT, number), set()))
        for number in range(4)
    )
    return Found(
        mixed == crossed == 0 and versions == {LIVE, TREATMENT},
        f"of 4 rows {max(mixed, crossed)} got the other version's answer",
    )


def _what(poison: str) -> str:
    return {"raises": "on which the model raises", "nan": "whose answer is NaN"}[poison]


ATTACKS: Final = (
    *(
        Attack(
            "A5", f"rows {_what(poison)}, on {where}", "0 ordinary requests fail", poisoned(poison, *versions)
        )
        for poison in ("raises", "nan")
        for where, versions in (
            ("live", (LIVE,)),
            ("the treatment", (TREATMENT,)),
            ("both", (LIVE, TREATMENT)),
        )
    ),
    Attack("B8", "two versions with one model version", "their own answers", one_tag_for_two_versions),
)
