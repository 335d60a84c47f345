"""What the controller knows, printed: where experiments and their ramps stand, what was changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from ekiben.experiments.lifecycle import ACTIVE
from ekiben.terminal.tables import NONE, plain_table

_FRESH_S: Final = 60.0


def show_standing(console: Console, url: str, status: dict[str, Any]) -> None:
    """Print the controller's state and every experiment's verdict."""
    state = "the state Redis is away" if status["state_away"] else f"revision {status['revision'] or NONE}"
    acting = "acts" if status["leading"] else "does not hold the lease"
    console.print(
        f"controller {url}: {state}, {acting}, {len(status['workers'])} router workers", soft_wrap=True
    )
    for part, why in status.get("failing", {}).items():
        console.print(f"{part} fails: {why}", soft_wrap=True, style="red")
    kept = status.get("state") or {}
    if kept.get("reason"):
        taken = "outcomes are refused" if kept["setting"] == "check" else "outcomes are taken all the same"
        console.print(f"{kept['reason']} ({taken})", soft_wrap=True)
    for line in file_lines(status["file"]) if status.get("file") else ():
        console.print(line, soft_wrap=True, markup=False)
    for key, why in status.get("not_run", {}).items():
        console.print(f"{key} is not run, everyone gets live: {why}", soft_wrap=True, markup=False)
    if joined := status.get("joined"):
        console.print(f"{moment(joined['at'])}: {joined['sentence']}", soft_wrap=True, markup=False)
    if status["ramps_refused"]:
        console.print(status["ramps_refused"], soft_wrap=True)
    if status["experiments"]:
        console.print()
        console.print(experiments_table(status["experiments"]))


def experiments_table(experiments: Sequence[dict[str, Any]]) -> Table:
    """A row for each experiment; a verdict that should be fresh and is not tells of when it is."""
    table = plain_table("experiments")
    for name in ("experiment", "status", "coverage", "users", "verdict"):
        table.add_column(name, justify="right" if name in ("coverage", "users") else "left", overflow="fold")
    for each in experiments:
        verdict, at = each["verdict"], each["report_at"] or 0.0
        old = each["status"] in ACTIVE and time.time() - at > _FRESH_S
        table.add_row(
            each["key"],
            str(each["status"]).replace("_", " "),
            f"{each['coverage']:g} %",
            NONE if each["users"] is None else f"{each['users']:,}",
            NONE
            if verdict is None
            else verdict["sentence"] + (f" (No newer report than of {moment(at)}.)" if old else ""),
        )
    return table


def show_ramp(console: Console, experiment: dict[str, Any]) -> None:
    """Print an experiment's ramp, and where it stands."""
    key, ramp, state = experiment["key"], experiment["ramp"], experiment["ramp_state"]
    coverage = f"{experiment['coverage']:g} % of users take part"
    if ramp is None:
        console.print(f"{key} has no ramp: {coverage}", soft_wrap=True)
        return
    steps = ", ".join(f"{step:g}" for step in ramp["steps"])
    guardrails = "all guardrails" if ramp["guardrails"] is None else ", ".join(ramp["guardrails"])
    console.print(
        f"{key}: coverage by steps {steps} %, each for at least {ramp['every']} and "
        f"{ramp['min_users_per_step']:,} users a variant, then {ramp['then']}; judged by {guardrails}",
        soft_wrap=True,
    )
    console.print(f"{experiment['status'].replace('_', ' ')}, {coverage}", soft_wrap=True)
    if state is None:
        console.print("nothing was judged yet")
        return
    console.print(
        f"{moment(state['at'])}, {state['kind'].replace('_', ' ')}: {state['sentence']}", soft_wrap=True
    )


def show_history(console: Console, entries: Sequence[dict[str, Any]]) -> None:
    """Print changes, newest first."""
    if not entries:
        console.print("nothing was changed yet")
    for entry in entries:
        console.print(
            f"{moment(entry['at'])}  revision {entry['revision']}  {entry['who']}: {entry['why']}",
            soft_wrap=True,
        )
        for line in entry["changes"]:
            console.print(f"  {line}", soft_wrap=True)


def file_lines(standing: dict[str, Any]) -> tuple[str, ...]:
    """How the file stands, in lines; none where there is nothing to say."""
    since = f"since {moment(standing['since'])}"
    head = {
        "refused": f"{standing['file']} is not applied, {since}:",
        "late": f"{standing['file']} is not applied, {since}:",
        "waits": f"{standing['file']} has changed and waits, {since}:",
        "missing": f"{standing['file']} is not there, {since}: the experiments stay as they are.",
    }.get(standing["state"])
    return () if head is None else (head, *(f"  {line}" for line in standing["lines"]))


def moment(at: float) -> str:
    """A time, in UTC to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
