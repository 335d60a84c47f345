"""`make bench-peers`: what others do for the same work, on the same machine, in the same run."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cache, partial
from operator import itemgetter
from typing import Any, Final

from rich.console import Console
from rich.status import Status

from ekiben.up.readiness import Part, until_ready
from loadtests.bench.checks.check import Case, make_cases
from loadtests.bench.checks.counters import counters
from loadtests.bench.checks.probe import ask_json, response_size
from loadtests.bench.errors import BenchError
from loadtests.bench.machine import others_load
from loadtests.bench.measure import Effort, Target, measure
from loadtests.bench.peers.install import NotInstalled
from loadtests.bench.peers.report import PeersRun, section, show
from loadtests.bench.peers.start import (
    ENVOY,
    ENVOY_MIRROR,
    LITSERVE,
    MLSERVER,
    NGINX,
    NGINX_MIRROR,
    SHADOW_PORT,
    Peers,
    add_shadowed,
)
from loadtests.bench.run import run_until_signal
from loadtests.bench.section import PAGE, write_section
from loadtests.bench.stack import Stack, started
from loadtests.bench.streams import (
    DIRECT,
    FIRST_REPEATED,
    HELD_OUT,
    ROUTER,
    Ask,
    Numbers,
    read_rows,
    write_distinct,
    write_repeats,
)
from loadtests.bench.wrk import require_wrk

CLIENTS: Final = (1, 16, 64, 256)
FULL: Final = Effort(rounds=3, seconds=2, warm_up_s=1)
QUICK: Final = Effort(rounds=1, seconds=1, warm_up_s=1)
VERSION: Final = "v1"
# What a mirror still owes when wrk has stopped is worked off before the next one's turn.
_MIRROR_REST_S: Final = 1.5
_CHECKED: Final = 100
_PREDICTIONS: Final = re.compile(r"^ml_predictions_total\{.*\} (\S+)$", re.MULTILINE)

BY_USER: Final = Ask("/predict", DIRECT.opening, DIRECT.closing, headers=("X-User-ID: u-#",))
SHADOWED: Final = Ask("/predict/credit-shadowed", ROUTER.opening, ROUTER.closing)
_INPUT: Final = '{"inputs":[{"name":"applicant","shape":[1],"datatype":"BYTES","data":['
INFER: Final = Ask("/v2/models/credit/infer", _INPUT, "]}]}", as_text=True)
INFER_BATCHED: Final = Ask("/v2/models/credit-batched/infer", _INPUT, "]}]}", as_text=True)
LIT: Final = Ask("/predict", '{"features":', "}")


@dataclass(frozen=True, slots=True)
class Peer:
    """One row: how it is asked, how its answer is read, what starts it, what it does.

    It splits over two versions, or serves the one; mirrors every request to a third; is Ekiben's router.
    """

    name: str
    url: str
    ask: Ask
    read: Callable[[Any], Any]
    start: Callable[[], Awaitable[None]] | None = None
    splits: bool = False
    mirrors: bool = False
    routed: bool = False
    repeats: bool = False


def _infer(answer: Any) -> Any:
    return json.loads(answer["outputs"][0]["data"][0])


def _once(start: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Awaitable[None]]:
    """For rows that share a peer: the first call starts it, every call ends as that one did."""
    return cache(lambda: asyncio.ensure_future(start()))


def peers(stack: Stack) -> list[Peer]:
    """Every row, in the order of the table."""
    starting = Peers(stack)
    nginx = partial(Peer, ask=BY_USER, read=itemgetter(0), start=_once(starting.nginx), splits=True)
    envoy = partial(Peer, ask=BY_USER, read=itemgetter(0), start=_once(starting.envoy), splits=True)
    start_mlserver = _once(partial(starting.mlserver, VERSION))
    mlserver = partial(Peer, url=MLSERVER, read=_infer, start=start_mlserver)
    ekiben = partial(Peer, url=stack.router, read=itemgetter("prediction"), splits=True, routed=True)
    return [
        Peer("BentoML called directly", stack.direct, DIRECT, itemgetter(0)),
        nginx("nginx split_clients", NGINX),
        nginx("nginx with mirror", NGINX_MIRROR, mirrors=True),
        envoy("Envoy weighted clusters", ENVOY),
        envoy("Envoy with mirroring", ENVOY_MIRROR, mirrors=True),
        mlserver("MLServer", ask=INFER),
        mlserver("MLServer, adaptive batching", ask=INFER_BATCHED),
        Peer("LitServe", LITSERVE, LIT, itemgetter("prediction"), partial(starting.litserve, VERSION)),
        ekiben("Ekiben", ask=ROUTER),
        ekiben("Ekiben with a shadow", ask=SHADOWED, start=partial(add_shadowed, stack), mirrors=True),
        ekiben("Ekiben, 1,000 applicants repeat", ask=ROUTER, repeats=True),
    ]


class PeersBench:
    """One run, from the started stack to what it found out."""

    def __init__(self, stack: Stack, status: Status) -> None:
        self._stack = stack
        self._status = status
        self._rows = read_rows(HELD_OUT)

    async def run(self, effort: Effort, begun: float, load: str) -> PeersRun:
        """Everything, in order."""
        shadow = self._stack.start_service("v3", SHADOW_PORT)
        await until_ready([Part(shadow, f"http://127.0.0.1:{SHADOW_PORT}/readyz")], lambda _part: None)
        session, services = self._stack.session, self._stack.services
        cases = await make_cases(session, services, self._rows, _CHECKED, FIRST_REPEATED)
        all_peers = peers(self._stack)
        targets: list[Target] = []
        absent: dict[str, str] = {}
        for peer in all_peers:
            self._status.update(f"starting {peer.name}")
            try:
                if peer.start is not None:
                    await peer.start()
                targets.append(await self._target(peer, cases))
            except (NotInstalled, BenchError) as error:
                absent[peer.name] = str(error)
        table = await measure(
            targets,
            CLIENTS,
            effort,
            Numbers(),
            lambda name, clients: self._status.update(f"{clients} clients: {name}"),
        )
        return PeersRun(
            table=table,
            names=[peer.name for peer in all_peers],
            mirrors=[peer.name for peer in all_peers if peer.mirrors],
            absent=absent,
            clients=CLIENTS,
            effort=effort,
            version=f"credit {VERSION}",
            load=load,
            took_s=time.monotonic() - begun,
        )

    async def _target(self, peer: Peer, cases: Sequence[Case]) -> Target:
        for case in cases:
            answer = await ask_json(self._stack.session, peer.url, peer.ask, case.row, case.number)
            try:
                prediction = peer.read(answer)
            except (KeyError, IndexError, TypeError, ValueError):
                prediction = answer
            right = case.expected.values() if peer.splits else [case.expected[VERSION]]
            if prediction not in right:
                raise BenchError(f"answers wrongly: {str(prediction)[:160]}, and not {list(right)}")
        file = re.sub(r"\W+", "-", peer.name.lower())
        write = write_repeats if peer.repeats else write_distinct
        stream = write(peer.ask, self._rows, peer.url, self._stack.data_dir / f"peer-{file}.lua")
        return Target(
            peer.name,
            peer.url,
            stream,
            await response_size(self._stack.session, peer.url, peer.ask, self._rows[0]),
            counts=partial(self._counts, peer),
            expect=("cached" if peer.repeats else "served") if peer.routed else "",
            rest_s=_MIRROR_REST_S if peer.mirrors else 0.3,
            must_answer=False,
        )

    async def _counts(self, peer: Peer) -> Counter[str]:
        counted = await counters(self._stack.session, self._stack.router) if peer.routed else Counter[str]()
        if peer.mirrors:
            async with self._stack.session.get(f"http://127.0.0.1:{SHADOW_PORT}/metrics") as response:
                found = _PREDICTIONS.findall(await response.text())
            counted["copies"] = sum(int(float(value)) for value in found)
        return counted


async def bench_peers(console: Console, effort: Effort) -> PeersRun:
    """Start everything, measure, end everything. Raises BenchError."""
    begun, load = time.monotonic(), others_load()
    require_wrk()
    with console.status("starting the services, the router and Redis") as status:
        async with started(VERSION) as stack:
            return await PeersBench(stack, status).run(effort, begun, load)


def main() -> int:
    """Run the comparison. Exit code 1 when nothing could be measured; a peer that is missing is a row."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round each; the page is left alone")
    options = parser.parse_args()
    console = Console() if sys.stdout.isatty() else Console(width=150)
    run = run_until_signal("bench-peers", bench_peers(console, QUICK if options.quick else FULL))
    show(console, run)
    if not options.quick:
        write_section("bench-peers", section(run))
        console.print(f"Written to {PAGE}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
