"""The commands that show what the controller knows: thin functions, one for each command."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from ekiben.commands.applying import FILES
from ekiben.commands.arguments import AsJson, Experiment, Why, Yes, controller, screen
from ekiben.terminal.errors import UsageError
from ekiben.terminal.output import print_json
from ekiben.terminal.settings import Settings

PANEL = "Look at experiments (through a running controller)"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def report(
    experiment: Experiment,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="As CSV, a line for each metric and variant, for spreadsheets.")
    ] = False,
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Compute it from all events, and say whether it is the same."),
    ] = False,
) -> None:
    """Show an experiment's report: the verdict in words, the split, each metric's effect and interval.

    The intervals hold at every look: looking often does no harm.
    """
    from ekiben.showing.report import show_comparison, show_report

    if from_scratch:
        comparison = controller().from_scratch(experiment)
        if as_json:
            print_json(comparison)
        else:
            show_comparison(screen(), comparison)
        raise typer.Exit(1 if comparison["differences"] else 0)
    if as_csv and as_json:
        raise UsageError("give one of --json and --csv")
    if as_csv:
        typer.echo(controller().report_csv(experiment), nl=False)
        return
    found, content = controller().report(experiment)
    if as_json:
        print_json(json.loads(content))
    else:
        show_report(screen(), found)


@app.command(rich_help_panel=PANEL)
def shadows(
    model: Annotated[str, typer.Argument(help="The model whose shadow versions are shown.")],
    as_json: AsJson = False,
) -> None:
    """Show what is known of a model's shadow versions, before any user gets them.

    Where labels name predictions, both versions are compared on the same ones.
    """
    from ekiben.showing.shadows import show_shadows

    found = controller().shadow_reports(model)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        show_shadows(screen(), model, found)


@app.command(rich_help_panel=FILES)
def schema() -> None:
    """Print the JSON Schema of an experiments file, for editors."""
    from ekiben.experiments.schema import experiments_schema

    print_json(experiments_schema())


@app.command(rich_help_panel=PANEL)
def document() -> None:
    """Print the experiments as they stand, as YAML: what the file would say if it were true.

    Ramps, verbs and other people's files are in it. Without a controller it is read as `ekiben explain` does.
    """
    from ekiben.clients.controller import NoController
    from ekiben.clients.document import document_yaml
    from ekiben.showing.explain import find_source
    from ekiben.state.documents.document import dump_document

    try:
        data = controller().document()
    except NoController:
        source = asyncio.run(find_source(Settings.from_environ(os.environ)))
        data = dump_document(source.snapshot.document)
    typer.echo(document_yaml(data), nl=False)


@app.command(rich_help_panel=PANEL)
def history(
    experiment: Annotated[
        str | None, typer.Argument(help="Only this experiment's changes.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many changes.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and why, newest first.

    Changes that a ramp made are there too, with the sentence that decided.
    """
    from ekiben.showing.standing import show_history

    entries = controller().history(experiment, limit)
    if as_json:
        print_json(entries)
    else:
        show_history(screen(), entries)


@app.command(rich_help_panel=PANEL)
def plan(
    experiment: Annotated[
        str | None,
        typer.Argument(help="The experiment's key, such as credit-boosting.", show_default=False),
    ] = None,
    effect: Annotated[
        str | None,
        typer.Option(
            "--effect",
            metavar="5%|NUMBER",
            help="What is to be found: a share of the control's mean, or in the metric's own unit.",
            show_default=False,
        ),
    ] = None,
    days: Annotated[
        float | None,
        typer.Option("--days", help="In place of --effect: find the smallest effect that these days find."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Without an experiment: the model.", show_default=False)
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME[:KIND]",
            help="Without an experiment: the metric that would decide, such as profit or kept:proportion.",
            show_default=False,
        ),
    ] = None,
    power: Annotated[float, typer.Option("--power", help="The probability of finding it, in percent.")] = 80,
    users_per_day: Annotated[
        float | None,
        typer.Option("--users-per-day", help="New users of the model a day; the report's unless given."),
    ] = None,
    mean: Annotated[
        float | None, typer.Option("--mean", help="The control's mean; the report's unless given.")
    ] = None,
    std: Annotated[
        float | None,
        typer.Option("--std", help="The standard deviation between users; the report's unless given."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the planned users into the experiment, a draft.")
    ] = False,
    why: Why = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show how many users and days an experiment needs to be promoted, or what it finds in some days.

    The deciding metric has to show the effect while every guardrail holds. It is computed from the sequential
    boundary that verdicts use, not from the formula for a single look. What is not given comes from the
    report, or else from what live's users did. With --model and --metric no experiment has to exist.
    """
    from ekiben.commands.changing import change
    from ekiben.showing.plan import show_plan

    if (experiment is None) == (model is None or metric is None):
        raise UsageError("name an experiment, or give --model and --metric")
    if effect is not None and days is not None:
        raise UsageError("give one of --effect and --days")
    if write and experiment is None:
        raise UsageError("--write needs an experiment")
    asked = {
        "effect": effect,
        "days": days,
        "power": power,
        "users_per_day": users_per_day,
        "mean": mean,
        "std": std,
    }
    client = controller()
    found = (
        client.plan(experiment, **asked)
        if experiment is not None
        else client.plan_model(model or "", metric=metric, **asked)
    )
    if as_json:
        print_json(found)
    else:
        show_plan(screen(), found)
    if write and experiment is not None:
        body = {"planned_users": found["planned_users"]}
        change(f"/experiments/{quote(experiment, safe='')}/plan-for", body, why=why, yes=yes)
