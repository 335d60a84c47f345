"""`make bench-ordinary`: ordinary BentoML services behind the router, beside the same called directly."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import yaml
from rich.console import Console
from rich.status import Status

from ekiben.state.embedded import EmbeddedRedis
from ekiben.terminal.errors import EkibenError
from ekiben.up.launch import check_ports
from ekiben.up.lock import locked
from ekiben.up.processes import Children
from ekiben.up.readiness import Part, until_ready, watched
from loadtests.bench.checks.probe import response_size
from loadtests.bench.errors import BenchError
from loadtests.bench.figures import Figure, at_least, figures_table
from loadtests.bench.machine import describe_machine, describe_versions, today
from loadtests.bench.measure import Cell, Effort, Table, Target, measure, problems
from loadtests.bench.run import run_until_signal
from loadtests.bench.section import PAGE, markdown_table, write_section
from loadtests.bench.streams import Ask, Numbers, Row, write_distinct
from loadtests.bench.wrk import require_wrk

DATA_DIR: Final = Path(".ekiben/loadtests/ordinary")
ROUTER_PORT: Final = 13421
ROUTER: Final = f"http://127.0.0.1:{ROUTER_PORT}"
CLIENTS: Final = (1, 64)
FULL: Final = Effort(rounds=9, seconds=3, warm_up_s=2)
QUICK: Final = Effort(rounds=2, seconds=1, warm_up_s=1)
PACKAGES: Final = ("bentoml", "uvicorn")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of service: its class, its port, its dialect, and what a direct call has around the text."""

    service: str
    port: int
    dialect: Mapping[str, Any]
    opening: str
    closing: str

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


_MANY: Final = {"argument": "texts"}
KINDS: Final = {
    "list": Kind("ListOfRows", 13422, _MANY, '{"texts":["', '"]}'),
    "batchable": Kind("Batchable", 13423, {**_MANY, "concurrency": 4}, '{"texts":["', '"]}'),
    "single": Kind(
        "OneRow", 13424, {"argument": "text", "rows": "single", "concurrency": 16}, '{"text":"', '"}'
    ),
}


class TextAsk(Ask):
    """A request for one text, every one another."""

    def _template(self, row: Row) -> str:
        return f"{self.opening}a good film number #{self.closing}"


def document() -> dict[str, Any]:
    """A model for each kind, with one version."""
    shared = {"kind": "bentoml", "path": "/classify", "feature": "text"}
    output = {"score": "positive", "decision": "label"}
    return {
        "models": {
            name: {
                "live": "v1",
                "timeout_ms": 10_000,
                "versions": {
                    "v1": {"endpoints": [kind.url], "dialect": {**shared, **kind.dialect}, "output": output}
                },
            }
            for name, kind in KINDS.items()
        }
    }


@asynccontextmanager
async def started() -> AsyncIterator[aiohttp.ClientSession]:
    """The three services and the router, until the block ends. Raises BenchError."""
    try:
        with ExitStack() as undo:
            lock = undo.enter_context(locked(DATA_DIR))
            redis = undo.enter_context(EmbeddedRedis(DATA_DIR))
            assert redis is not None
            (DATA_DIR / "logs").mkdir(exist_ok=True)
            children = Children(DATA_DIR / "logs", lock, DATA_DIR)
            undo.callback(children.end)
            file = DATA_DIR / "experiments.yaml"
            file.write_text(yaml.safe_dump(document(), sort_keys=False), encoding="utf-8")
            ports = {name: kind.port for name, kind in KINDS.items()} | {"the router": ROUTER_PORT}
            check_ports({name: (port, "loadtests/bench/ordinary") for name, port in ports.items()})
            async with watched(children), aiohttp.ClientSession() as session:
                await until_ready(list(_parts(children, file)), lambda _part: None)
                yield session
    except EkibenError as error:
        raise BenchError(str(error)) from None


def _parts(children: Children, file: Path) -> list[Part]:
    parts = []
    for name, kind in KINDS.items():
        target = f"loadtests.bench.ordinary.services:{kind.service}"
        at = ["--host", "127.0.0.1", "--port", str(kind.port)]
        command = [sys.executable, "-m", "bentoml", "serve", target, *at]
        child = children.start(name, command, {"BENTOML_DO_NOT_TRACK": "true"})
        parts.append(Part(child, f"{kind.url}/readyz"))
    settings = {
        "EKIBEN_PORT": str(ROUTER_PORT),
        "EKIBEN_WORKERS": "1",
        "EKIBEN_DATA_DIR": str(DATA_DIR),
        "EKIBEN_EXPERIMENTS_FILE": str(file),
    }
    child = children.start("router", [sys.executable, "-P", "-m", "router"], settings)
    return [*parts, Part(child, f"{ROUTER}/readyz")]


async def targets(session: aiohttp.ClientSession) -> list[Target]:
    """Each kind, called directly and through the router."""
    found = []
    for name, kind in KINDS.items():
        asks = {
            f"{name}, direct": (kind.url, TextAsk("/classify", kind.opening, kind.closing)),
            f"{name}, router": (
                ROUTER,
                TextAsk(f"/predict/{name}", '{"user_id":"u-#","features":{"text":"', '"}}'),
            ),
        }
        for title, (url, ask) in asks.items():
            stream = write_distinct(ask, [{}], url, DATA_DIR / f"{title.replace(', ', '-')}.lua")
            size = await response_size(session, url, ask, {})
            found.append(Target(title, url, stream, size))
    return found


def figures(table: Table) -> list[Figure]:
    """What must hold."""

    def cells(name: str, clients: int) -> tuple[Cell, Cell]:
        return table[f"{name}, router", clients], table[f"{name}, direct", clients]

    lone, alone = cells("batchable", 1)
    added = median(a.p50_ms - b.p50_ms for a, b in zip(lone.rounds, alone.rounds, strict=True))
    allowed = max(1.0, alone.p50_ms)
    return [
        at_least("an API of a list, 64 clients, against direct row by row", *cells("list", 64), 5.0),
        at_least("one row a call, 64 clients, against direct", *cells("single", 64), 0.9),
        at_least("batchable, 64 clients, against direct", *cells("batchable", 64), 2.0),
        Figure(
            "batchable, 1 client: p50, beyond direct's",
            f"{added:+.2f} ms ({alone.p50_ms:.2f} ms direct)",
            f"at most {allowed:.2f} ms",
            added <= allowed,
        ),
    ]


def section(table: Table, found: list[Figure], effort: Effort) -> str:
    """The section of the page, in Markdown."""
    rows = [
        [name, *(text for clients in CLIENTS for text in _cell(table[name, clients]))]
        for name in (f"{kind}, {way}" for kind in KINDS for way in ("direct", "router"))
    ]
    header = ["service", "1 client: req/s", "p50 / p99, ms", "64 clients: req/s", "p50 / p99, ms"]
    return f"""## Ordinary BentoML services

`make bench-ordinary`: three services that know nothing of Ekiben
(`loadtests/bench/ordinary/services.py`), called directly, and unchanged behind a router of one worker.
Every request has another text, so nothing is cached. `list` is an API that takes a list, called directly
with one text each. `batchable` is the same with `batchable=True`, and `concurrency: 4` behind the router.
`single` is an API of one row, `concurrency: 16`. Medians of {effort.rounds} rounds of {effort.seconds} s,
the six in turn.

{describe_machine()}; {describe_versions(PACKAGES)}; {today()}.

{markdown_table(header, rows)}

{figures_table(found)}"""


def _cell(cell: Cell) -> tuple[str, str]:
    return f"{cell.per_second:,.0f}", f"{cell.p50_ms:.2f} / {cell.p99_ms:.2f}"


async def bench(effort: Effort, status: Status) -> Table:
    """Start everything, measure, end everything. Raises BenchError."""
    require_wrk()
    async with started() as session:
        return await measure(
            await targets(session),
            CLIENTS,
            effort,
            Numbers(),
            lambda name, clients: status.update(f"{clients} clients: {name}"),
        )


def main() -> int:
    """Run the benchmark. Exit code 1 when a promise is missed or nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.ordinary", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds; the page is left alone")
    effort = QUICK if (quick := parser.parse_args().quick) else FULL
    console = Console() if sys.stdout.isatty() else Console(width=120)
    with console.status("starting the services and the router") as status:
        table = run_until_signal("bench-ordinary", bench(effort, status))
    found = figures(table)
    text = section(table, found, effort)
    console.print(text, markup=False, highlight=False)
    if not quick:
        write_section("bench-ordinary", text)
        console.print(f"Written to {PAGE}.")
    for line in problems(table):
        console.print(line, markup=False)
    return 0 if all(figure.holds for figure in found) and not problems(table) else 1


if __name__ == "__main__":
    sys.exit(main())
