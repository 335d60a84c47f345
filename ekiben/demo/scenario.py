"""The demo's second half: an experiment in fast motion, from its first users to what came of it."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ekiben.clients.controller import ControllerClient
from ekiben.clients.document import read_document
from ekiben.clients.routed import until_routed
from ekiben.demo.arrivals import PER_S, Arrivals, read_applicants
from ekiben.demo.traffic import DEMO_MODEL, HELD_OUT
from ekiben.experiments.document import Document
from ekiben.experiments.judging.paired import paired_words
from ekiben.experiments.judging.wording import difference
from ekiben.experiments.kinds.table import kind_of
from ekiben.experiments.lifecycle import ACTIVE, Status
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.reports.metric import Role, State
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.state.documents.document import dump_document
from ekiben.terminal.errors import EkibenError

SCENARIOS: Final = Path(__file__).parent / "scenarios"
WHO: Final = "ekiben up"
# Whether a loan is paid back is known of those that were granted, as it is in life.
_LABELS_OF_APPROVED: Final = frozenset({"biased-labels"})
_LOOK_S: Final = 1.0
_WORKERS: Final = 2  # of the router that `ekiben up` starts
# An experiment that goes on is watched for so long, then left to itself.
_WATCHED_S: Final = 240.0
_ARRIVALS_S: Final = 600.0


def scenario_file(name: str) -> Document:
    """The document of a scenario."""
    return read_document(SCENARIOS / f"{name}.yaml").document


def fitted_scenario(scenario: Document, here: Document) -> tuple[Document, str] | None:
    """The document here with the scenario beside it, and the key of its experiment; None where the demo's
    model is not served.

    The scenario has a model of its own, over the endpoints that the versions have here: what experiments.yaml
    says stays as it is. One that was played before makes way.
    """
    if DEMO_MODEL not in here.models:
        return None
    served = here.models[DEMO_MODEL]
    ((name, model),) = scenario.models.items()
    ((key, experiment),) = scenario.experiments.items()
    versions = {each: served.versions.get(each, version) for each, version in model.versions.items()}
    models = {
        **here.models,
        DEMO_MODEL: served.model_copy(update={"versions": {**versions, **served.versions}}),
        name: model.model_copy(update={"versions": versions}),
    }
    experiments = {
        each: its.model_copy(update={"status": Status.ROLLED_BACK})
        if its.model == name and its.status in ACTIVE
        else its
        for each, its in here.experiments.items()
    }
    keys = itertools.chain([key], (f"{key}-{number}" for number in itertools.count(2)))
    free = next(each for each in keys if each not in experiments)
    fitted = here.model_copy(update={"models": models, "experiments": {**experiments, free: experiment}})
    return fitted, free


async def play(console: Console, router_url: str, controller_url: str, name: str, *, once: bool) -> None:
    """Apply the scenario, let applicants arrive, and show how it goes until it has ended.

    With `once` it returns then; else applicants go on arriving for ten minutes from the beginning.
    Raises EkibenError.
    """
    client = ControllerClient(controller_url, os.environ, WHO)
    scenario = scenario_file(name)
    (model,) = scenario.models
    console.print(f"\nScenario {name}: {SCENARIOS / name}.yaml")
    try:
        fitted = fitted_scenario(scenario, parse_document(await asyncio.to_thread(client.document)))
        assert fitted is not None, "its versions are being served"
        document, key = fitted
        body = {"document": dump_document(document), "why": f"the demo's scenario {name}"}
        await asyncio.to_thread(client.change, "/apply", body)
    except EkibenError as error:
        console.print(f"It cannot be played here: {error}\n`ekiben up --fresh` begins again.")
        return
    await until_routed(router_url, {f"{model}/{each}" for each in document.models[model].versions}, _WORKERS)
    applicants = read_applicants(HELD_OUT)
    arrivals = Arrivals(router_url, model, applicants, labels_of_approved=name in _LABELS_OF_APPROVED)
    console.print(
        f"{PER_S} held-out applicants a second arrive, drawn again and again; each brings what came of its "
        "loan.",
        soft_wrap=True,
    )
    console.print(f"Watch it: {controller_url}/experiments/{key}\n", soft_wrap=True)
    begun = time.monotonic()
    sending = asyncio.create_task(arrivals.run())
    try:
        await _watch(console, client, key, arrivals, begun)
        if not once:
            await asyncio.wait([sending], timeout=_ARRIVALS_S - (time.monotonic() - begun))
    finally:
        sending.cancel()
        await asyncio.wait([sending])
    if not once:
        console.print("No more applicants arrive. Everything else keeps running.")


async def _watch(
    console: Console, client: ControllerClient, key: str, arrivals: Arrivals, begun: float
) -> None:
    """Show the experiment until it has ended, or has been watched for long enough; then its history."""
    view: dict[str, Any] = {}
    report: Report | None = None
    shadows: list[ShadowReport] = []
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        while time.monotonic() - begun < _WATCHED_S:
            view = await asyncio.to_thread(client.experiment, key)
            report = await _report(client, key)
            shadows = await asyncio.to_thread(client.shadow_reports, view["model"])
            live.update(_shown(view, report, shadows, arrivals, time.monotonic() - begun))
            if view["status"] not in ACTIVE or (report and _decided_instead(report)):
                break
            await asyncio.sleep(_LOOK_S)
    console.print(_shown(view, report, shadows, arrivals, time.monotonic() - begun))
    console.print("What happened, from the audit:")
    for entry in reversed(await asyncio.to_thread(client.history, key, 20)):
        at = time.strftime("%H:%M:%S", time.localtime(entry["at"]))
        console.print(f"  {at}  {entry['who']}: {entry['why']}", soft_wrap=True)
    if view["status"] in ACTIVE:
        console.print(f"{key} keeps running: {_left_open(report)}")


def _left_open(report: Report | None) -> str:
    """Why an experiment that was watched has not ended."""
    decided = _decided_instead(report) if report is not None else []
    if not decided:
        return "nothing so far says that it should end."
    return f"its labels cannot decide. What counts for every applicant does: {'; '.join(decided)}."


def _decided_instead(report: Report) -> list[str]:
    """What the metrics that count everybody say, where the labels that should decide cannot."""
    if report.verdict.reason != "labels_differ":
        return []
    return [
        difference(report, metric, variant)
        for metric in report.metrics
        if metric.role is Role.WATCHED
        for variant, state in metric.states.items()
        if state in (State.BETTER, State.WORSE)
    ]


async def _report(client: ControllerClient, key: str) -> Report | None:
    try:
        return (await asyncio.to_thread(client.report, key))[0]
    except EkibenError:
        return None  # there is none yet


def _shown(
    view: dict[str, Any],
    report: Report | None,
    shadows: Sequence[ShadowReport],
    arrivals: Arrivals,
    seconds: float,
) -> Group:
    table = Table(box=None, padding=(0, 2, 0, 0))
    deciding = report.deciding if report is not None else None
    what = kind_of(deciding.kind).title(deciding.name) if deciding is not None else ""
    for title in ("", "version", "users", what):
        table.add_column(title, justify="left" if title in ("", "version") else "right")
    effects: list[str] = []
    if report is not None and deciding is not None:
        means = {each.variant: each.mean for each in deciding.variants}
        for each in report.variants:
            mean = means.get(each.variant)
            value = "" if mean is None else f"{mean:.4g}"
            table.add_row(each.variant, each.version, f"{each.users:,}", value)
        for treatment, effect in deciding.effects.items():
            if effect.absolute is not None:
                ends = (effect.interval.low, effect.interval.high)
                low, high = ("…" if end is None else f"{end:+.3g}" for end in ends)
                sure = f"{1 - report.alpha:.0%} sure from {low} to {high}, at every look"
                effects.insert(0, f"{treatment}: {effect.absolute:+.3g}, {sure}")
    begun = f"{seconds:3.0f} s  {arrivals.arrived:,} applicants"
    treatments = {each.version for each in report.variants[1:]} if report else set[str]()
    lines = [
        *effects,
        *(
            f"shadow:  {paired_words(each, quality)}"
            for each in shadows
            if each.version in treatments and report and each.against == report.variants[0].version
            for quality in each.paired
        ),
        f"ramp:    {(view.get('ramp_state') or {}).get('sentence', 'begins')}",
        f"verdict: {report.verdict.sentence if report else 'no report yet'}",
    ]
    head = Text(f"{begun}, coverage {view['coverage']:g} %, {view['status']}")
    return Group(head, table, *map(Text, lines), Text())
