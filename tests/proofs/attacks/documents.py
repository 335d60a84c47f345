"""Documents that are huge, cannot work, or come from another release."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import orjson
import yaml

from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.state.documents.document import CHANGES_CHANNEL, DOCUMENT_KEY, DocumentStore, open_store
from tests.proofs.attacks.attack import Attack, Found
from tests.proofs.attacks.installation import Installation, Turned
from tests.proofs.attacks.measured import TICK_S
from tests.proofs.attacks.wire import get, post
from tests.proofs.faults.answers import LIVE, TREATMENT
from tests.proofs.faults.processes import RedisServer
from tests.proofs.faults.station import EXPERIMENT

MOST_GAP_MS: Final = 25.0
MOST_CPU_MS: Final = 5.0
_PAST: Final = 999
_UPTAKE_RATE: Final = 50.0
_EDITS: Final = 10
# What each tick costs while a document is read beside it is not the uptake's.
_SELDOM_S: Final = 0.1
_WINDOW_S: Final = 0.25
# So long at least after the document was stored.
_UPTAKE_S: Final = 0.15


def as_text(data: dict[str, Any]) -> str:
    """The document as an experiments file."""
    return yaml.safe_dump(data, sort_keys=False)


def uptake_of_a_thousand(installation: Installation) -> Found:
    """A document of 1,000 experiments and 1 MB, taken up beside 50 requests a second."""
    return asyncio.run(_uptake(installation))


async def _uptake(installation: Installation) -> Found:
    installation.controller.terminate(10.0)  # it reads each document too: the machine is to be idle otherwise
    gaps, turns, costs = [], [], []
    data = _thousand(installation)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(_redis(installation, "elsewhere"))
        here, elsewhere = open_store(installation.state.url), open_store(f"unix://{server.socket}")
        for store in (here, elsewhere):
            stack.push_async_callback(store.close)
        await stack.enter_async_context(installation.load(_UPTAKE_RATE))
        await asyncio.sleep(1.0)
        for edit in range(_EDITS):
            edited = await asyncio.to_thread(_edited, data, edit)
            turned = await _window(installation, here, edited)
            gaps.append(turned.longest_ms)
            turns.append(turned.longest_cpu_ms)
        before = await _window(installation, elsewhere, edited, _SELDOM_S)
        for edit in range(_EDITS, 4 * _EDITS):
            edited = await asyncio.to_thread(_edited, data, edit)
            turned = await _window(installation, here, edited, _SELDOM_S)
            # The same work for a Redis that the router does not follow: only this process has it.
            after = await _window(installation, elsewhere, edited, _SELDOM_S)
            costs.append(turned.cpu_ms - (before.cpu_ms + after.cpu_ms) / 2)
            before = after
    gap, cost = statistics.median(gaps), statistics.median(costs)
    return Found(
        gap <= MOST_GAP_MS and cost <= MOST_CPU_MS,
        f"longest gap {gap:.1f} ms ({statistics.median(turns):.1f} ms of CPU), "
        f"{max(cost, 0.0):.1f} ms of CPU more in the loop's thread (medians of {len(gaps)} and {len(costs)})",
    )


def _edited(data: dict[str, Any], edit: int) -> Document:
    data["experiments"][EXPERIMENT]["overrides"] = {f"of-quality-assurance-{edit}": "treatment"}
    return parse_document(data)


async def _window(
    installation: Installation, store: DocumentStore, document: Document, tick_s: float = TICK_S
) -> Turned:
    """How the loop turned in a while in which `document` was stored."""
    held = await store.load()
    await asyncio.to_thread(installation.turned, tick_s)
    ends = time.monotonic() + _WINDOW_S
    stored = await store.change(held, document, who="attacks", why="another attack")
    await asyncio.sleep(max(ends - time.monotonic(), _UPTAKE_S))
    turned = await asyncio.to_thread(installation.turned)
    revision = await asyncio.to_thread(installation.revision)
    assert revision >= stored.revision, "it was not taken up in time"
    return turned


@contextmanager
def _redis(installation: Installation, name: str, *options: str) -> Iterator[RedisServer]:
    """One more Redis, which nothing follows yet."""
    folder = installation.folder / name
    folder.mkdir(exist_ok=True)
    server = RedisServer(name, folder, installation.logs, options)
    server.spawn()
    try:
        yield server
    finally:
        server.terminate(2.0)


def _thousand(installation: Installation) -> dict[str, Any]:
    data = installation.document()
    for number in range(_PAST):
        data["experiments"][f"past-{number:04d}"] = {
            "model": "credit",
            "status": "rolled_back",
            "variants": data["experiments"][EXPERIMENT]["variants"],
            "overrides": {f"u-of-quality-assurance-{number}-{each}": "treatment" for each in range(8)},
            "metrics": [
                {"name": f"metric-{each}", "outcome": f"outcome-{each}", "kind": "mean", "window_hours": 24.5}
                for each in range(5)
            ],
        }  # fmt: skip
    return data


def nested_merges(installation: Installation) -> Found:
    """700 bytes of YAML that become gigabytes: merge keys and aliases within each other, and deep lists."""
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
    )
    laughs = "b0: &b0 [1]\n" + "".join(
        f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    longest, answers = 0.0, []
    for text in (merges, laughs, "a: " + "[" * 5000, "a: " * 5000):
        begun = time.monotonic()
        answers.append(installation.admin("/apply", {"document": text, "why": "an attack"}).status)
        longest = max(longest, time.monotonic() - begun)
    refused = all(400 <= status < 500 for status in answers)
    return Found(
        refused and longest < 1.0, f"answered {', '.join(map(str, answers))}, the last after {longest:.1f} s"
    )


def wrong_password(installation: Installation) -> Found:
    """A router whose password for the state Redis is wrong, with a file that must not be taken."""
    with _redis(installation, "locked", "--requirepass", "right") as server:
        url = f"unix://:wrong@{server.socket}"
        with installation.other(EKIBEN_STATE_URL=url, EKIBEN_EXPERIMENTS_FILE="") as other:
            words = ("WRONGPASS", "invalid password", "invalid username-password", "uthentication")
            told = installation.comes_true(lambda: any(word in other.said() for word in words), 5.0)
    return Found(told, "reported in the log" if told else "not a line in the log")


def document_of_a_newer_release(installation: Installation) -> Found:
    """An experiment of a newer release: a field of it decides who takes part, another one does not."""
    data = orjson.loads(orjson.dumps(installation.document()))
    data["experiments"][EXPERIMENT] |= {"where": {"country": "nl"}, "requires": ["where"]}
    data["models"]["credit"]["colour"] = "green"
    held = installation.held()
    with installation.state.client() as client:
        client.hset(
            DOCUMENT_KEY, mapping={"document": orjson.dumps(data), "revision": str(held.revision + 1)}
        )
        client.publish(CHANGES_CHANNEL, "")
    running = _inside(installation.port)
    stopped = installation.comes_true(lambda: not _inside(installation.port), 5.0)
    file = installation.folder / "own.yaml"
    file.write_text(as_text(installation.document()))
    with installation.other(EKIBEN_EXPERIMENTS_FILE=str(file)) as other:
        installation.comes_true(lambda: get(other.port, "/readyz").status == 200, 5.0)
        new_pod = _inside(other.port)
    served = post(installation.port, "/predict/credit", {"user_id": "u", "features": {"row": "n"}}).status
    verb = {"version": TREATMENT, "percent": 1.0, "why": "an attack"}
    changed = installation.admin("/models/credit/shadow", verb).status
    with installation.state.client() as client:
        raw: Any = client.hget(DOCUMENT_KEY, "document")
    kept = b"colour" in raw and b"country" in raw
    return Found(
        running and stopped and not new_pod and served == 200 and changed == 200 and kept,
        f"the experiment {'does not run' if stopped else 'runs'}, in a new router "
        f"{'it runs' if new_pod else 'neither'}; predictions {served}, a verb {changed}, "
        f"unknown fields {'kept' if kept else 'lost'}",
    )


def _inside(port: int) -> bool:
    said = get(port, f"/assignment/{EXPERIMENT}?user_id=user-1").data or {}
    return bool(said.get("in_experiment"))


def refused(*wrong: dict[str, Any]) -> Callable[[Installation], Found]:
    """Drafts with these fields are refused, each with a reason, where one with ordinary fields is taken."""

    def run(installation: Installation) -> Found:
        answers = []
        for fields in ({}, *wrong):
            data = installation.document()
            draft = data["experiments"][EXPERIMENT] | {"status": "draft"} | fields
            data["experiments"]["another"] = draft
            body = {"document": as_text(data), "why": "an attack", "dry_run": True}
            answers.append(installation.admin("/apply", body))
        good, *bad = answers
        assert good.status == 200, good.body[:300]
        taken = sum(answer.status == 200 for answer in bad)
        reasons = [str(line) for answer in bad for line in (answer.data or {}).get("errors", ())]
        return Found(
            not taken and len(reasons) >= len(bad),
            f"{len(bad) - taken} of {len(bad)} refused" + (f": {reasons[0][:100]}" if reasons else ""),
        )

    return run


def _weights(control: float, treatment: float, coverage: float) -> dict[str, Any]:
    return {
        "coverage": coverage,
        "variants": {
            "control": {"version": LIVE, "weight": control},
            "treatment": {"version": TREATMENT, "weight": treatment},
        },
    }


_OF_NOBODY: Final = {"namespace": {"name": "credit", "from": 0.011, "to": 0.015}}


ATTACKS: Final = (
    Attack(
        "B3",
        "1,000 experiments, 1 MB, taken up at 50 requests/s",
        f"gap below {MOST_GAP_MS:.0f} ms, {MOST_CPU_MS:.0f} ms of CPU",
        uptake_of_a_thousand,
    ),
    Attack("B3", "YAML that becomes gigabytes", "refused within 1 s", nested_merges),
    Attack(
        "B6",
        "shares that get nobody",
        "refused with a reason",
        refused(_weights(99.9, 0.1, 5), _OF_NOBODY),
    ),
    Attack("B11", "a variant of weight 0", "refused with a reason", refused(_weights(100, 0, 100))),
    Attack("B13", "a wrong password for the state Redis", "reported in the log", wrong_password),
    Attack("B13", "an experiment of a newer release", "does not run, is kept", document_of_a_newer_release),
)
