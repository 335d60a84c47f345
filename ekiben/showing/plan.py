"""`ekiben plan`: what an experiment needs, as a sentence and tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from ekiben.terminal.tables import NONE, plain_table


def show_plan(console: Console, plan: dict[str, Any]) -> None:
    """Print the plan, and the lines that go into the experiments file."""
    console.print(plan["sentence"], soft_wrap=True)
    console.print()
    console.print(_parts(plan))
    console.print()
    console.print(_numbers(plan))
    for line in _notes(plan):
        console.print(line, soft_wrap=True, markup=False)


def _parts(plan: dict[str, Any]) -> Table:
    """What each metric needs, were it the only one."""
    table = plain_table("users that each metric needs alone")
    table.add_column("metric")
    table.add_column("role")
    for name in ("effect or margin", "live's mean", "standard deviation", "users"):
        table.add_column(name, justify="right")
    for part in plan["parts"]:
        table.add_row(
            part["name"],
            part["role"],
            f"{part['effect']:.4g}",
            NONE if part["mean"] is None else f"{part['mean']:.4g}",
            f"{part['std']:.4g}",
            f"{part['users']:,}",
        )
    return table


def _numbers(plan: dict[str, Any]) -> Table:
    size, takes, ends = plan["size"], plan["duration"], plan["ends"]
    table = plain_table(f"{plan['experiment'] or plan['model']}: plan")
    table.add_column("what")
    table.add_column("", justify="right")
    rows = [
        ("alpha, power", f"{plan['alpha']:g}, {plan['power']:g}"),
        ("users, by variant", ", ".join(f"{users:,}" for users in size["users_by_variant"])),
        ("users, in all", f"{size['users']:,}"),
        ("users, with one look only", f"{size['fixed_users']:,}"),
    ]
    if takes is not None:
        rows += [
            ("new users a day", f"{plan['users_per_day']:,.0f}"),
            ("days until the last joins", f"{takes['joining_days']:.1f}"),
            ("days in all", f"{takes['days']:.1f}"),
        ]
    rows += [
        ("if there is no effect: users until not_better", f"{ends['not_better']:,}"),
        ("until no_difference, in 80 %", f"{ends['no_difference']:,}"),
        ("until no_difference, in 97 %", f"{ends['no_difference_surely']:,}"),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def _notes(plan: dict[str, Any]) -> Iterator[str]:
    if plan["duration"] is None:
        yield "how long that takes: give --users-per-day"
    if plan["source"]:
        yield f"from {plan['source']}"
    if plan["missing"]:
        yield plan["missing"]
    if plan["fixed_planned_users"] is None:
        yield (
            f"write into the experiment: planned_users: {plan['planned_users']} (without that line "
            f"{plan['users_unless_written']:,} users are needed)"
        )
    if plan["cap"] is not None:
        yield (
            f"{plan['metric']} has a long tail. Write into the metric: cap: {plan['cap']:.4g} "
            "(99 % of the users are below it)"
        )
