"""The commands that change experiments, through the controller: thin doors, one function a command."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ekiben.terminal.errors import EkibenError, UsageError

PANEL = "Change experiments (through a running controller)"

app = typer.Typer()
events = typer.Typer(
    no_args_is_help=True,
    help="Forget what was recorded of a user: `ekiben events forget`.",
    rich_markup_mode="markdown",
)

Experiment = Annotated[
    str, typer.Argument(help="The experiment's key, such as credit-boosting.", show_default=False)
]
Why = Annotated[
    str | None, typer.Option("--why", metavar="TEXT", help="The reason, for the history; asked for else.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking; needs --why.")]


class Then(StrEnum):
    """What a ramp does after its last step."""

    WAIT = "wait"
    PROMOTE = "promote"


@app.command(rich_help_panel=PANEL)
def apply(
    file: Annotated[Path, typer.Argument(help="The experiments file.", show_default=False)],
    why: Why = None,
    yes: Yes = False,
) -> None:
    """Apply what a file changes of the one that was applied last, after showing it.

    What a command or a ramp has done meanwhile stays. A value that both changed is refused with both, and so
    is what cannot follow what is there, such as other weights while an experiment runs.
    """
    _change("/apply", {"document": _text(file)}, why, yes)


@app.command(rich_help_panel=PANEL)
def diff(file: Annotated[Path, typer.Argument(help="The experiments file.", show_default=False)]) -> None:
    """Show what `ekiben apply` would change, and change nothing.

    The exit code is 1 when the file cannot be applied, and 0 otherwise.
    """
    from ekiben.clients.controller import ControllerClient
    from ekiben.terminal.screen import screen

    body = {"document": _text(file), "why": "ekiben diff", "dry_run": True}
    looked = ControllerClient.from_environ(os.environ).change("/apply", body)
    for line in looked["changes"] or ["Nothing changes: that is how it is."]:
        screen().print(line, soft_wrap=True, markup=False)


@app.command(rich_help_panel=PANEL)
def check(file: Annotated[Path, typer.Argument(help="The experiments file.", show_default=False)]) -> None:
    """Check an experiments file by itself, without a controller: for CI, before a change is merged.

    Each problem is a line with its place in the file, and the exit code is 1.
    """
    from ekiben.clients.document import read_document
    from ekiben.terminal.screen import screen

    document = read_document(file).document
    models, experiments = len(document.models), len(document.experiments)
    screen().print(
        f"{file} is sound: {models} models, {experiments} experiments", soft_wrap=True, markup=False
    )


@app.command(rich_help_panel=PANEL)
def start(experiment: Experiment, why: Why = None, yes: Yes = False) -> None:
    """Start a draft: it begins to give users their variants.

    With a ramp it starts at the ramp's first step.
    """
    _verb(experiment, "start", {}, why, yes)


@app.command(rich_help_panel=PANEL)
def pause(experiment: Experiment, why: Why = None, yes: Yes = False) -> None:
    """Pause an experiment: everyone gets live until it is resumed.

    Nobody's variant is forgotten: after `ekiben resume` each user has the one of before.
    """
    _verb(experiment, "pause", {}, why, yes)


@app.command(rich_help_panel=PANEL)
def resume(experiment: Experiment, why: Why = None, yes: Yes = False) -> None:
    """Resume a paused experiment: each user gets the variant of before.

    A ramp's step begins anew.
    """
    _verb(experiment, "resume", {}, why, yes)


@app.command(rich_help_panel=PANEL)
def promote(
    experiment: Experiment,
    variant: Annotated[
        str | None,
        typer.Argument(help="The treatment; may be left out where there is one.", show_default=False),
    ] = None,
    why: Why = None,
    yes: Yes = False,
) -> None:
    """End an experiment with a treatment: its version becomes live.

    Everyone gets that version, in one change. It is an end: the next comparison is another experiment.
    """
    _verb(experiment, "promote", {} if variant is None else {"variant": variant}, why, yes)


@app.command(rich_help_panel=PANEL)
def roll_back(experiment: Experiment, why: Why = None, yes: Yes = False) -> None:
    """End an experiment with the control: everyone gets live, within a second.

    It is an end. To send everyone to live for a while use `ekiben pause`, or without a controller
    `ekiben panic`.
    """
    _verb(experiment, "roll-back", {}, why, yes)


@app.command(rich_help_panel=PANEL)
def acknowledge(
    experiment: Experiment,
    model_version: Annotated[
        list[str] | None,
        typer.Option("--model-version", metavar="TAG", help="Only this one; may be given several times."),
    ] = None,
    why: Why = None,
    yes: Yes = False,
) -> None:
    """Say that a redeployment in the middle of an experiment is harmless: it blocks the verdict no longer.

    Without --model-version these are all that the last report shows.
    """
    _verb(experiment, "acknowledge", {"model_versions": model_version or []}, why, yes)


@app.command(rich_help_panel=PANEL)
def ramp(
    experiment: Experiment,
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="2,10,50,100", help="Coverage in percent, rising.")
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="30m", help="How long a step lasts at least.")
    ] = None,
    min_users: Annotated[
        int | None, typer.Option("--min-users", help="Users in each variant that each step adds at least.")
    ] = None,
    guardrails: Annotated[
        str | None,
        typer.Option("--guardrails", metavar="NAME,NAME", help="Those that are judged; all unless named."),
    ] = None,
    then: Annotated[Then | None, typer.Option("--then", help="After the last step.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Take the ramp away; coverage stays.")] = False,
    why: Why = None,
    yes: Yes = False,
) -> None:
    """Raise coverage by steps while the guardrails hold; without options, show where the ramp stands.

    A violated guardrail rolls the experiment back within seconds. Options change the ramp that is there.
    """
    given: dict[str, Any] = {
        "steps": None if steps is None else _numbers(steps),
        "every": every,
        "min_users_per_step": min_users,
        "guardrails": None if guardrails is None else [name.strip() for name in guardrails.split(",")],
        "then": None if then is None else then.value,
    }
    body = {name: value for name, value in given.items() if value is not None}
    if off and body:
        raise UsageError("--off takes the ramp away: give it alone")
    if off or body:
        _verb(experiment, "ramp", {"off": True} if off else body, why, yes)
        return
    from ekiben.clients.controller import ControllerClient
    from ekiben.showing.standing import show_ramp
    from ekiben.terminal.screen import screen

    show_ramp(screen(), ControllerClient.from_environ(os.environ).experiment(experiment))


@events.command()
def forget(
    user: Annotated[str, typer.Option("--user", metavar="USER", help="The user's id.", show_default=False)],
    why: Why = None,
    yes: Yes = False,
) -> None:
    """Remove a user's events from the files and the streams, and the user from all overrides.

    There is no way back. Reports change with the next analysis. The exit code is 1 when there was nothing of
    this user: the request is in the history all the same, but the id may be misspelt.
    """
    from ekiben.clients.controller import ControllerClient
    from ekiben.commands.changing import confirm
    from ekiben.terminal.screen import screen

    client, console = ControllerClient.from_environ(os.environ), screen()
    console.print("All events of this user are removed, for good, and the user from all overrides.")
    why, _ = confirm(console, why=why, yes=yes)
    removed = client.forget(user, why)
    if not removed["overrides"] and not any(removed["events"].values()):
        raise EkibenError(
            "nothing was found of this user: no events, no overrides. The request was carried out; "
            "check the spelling of the id, and EKIBEN_USER_SALT of the controller"
        )
    told = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in removed["events"].items())
    console.print(f"Done: {told or 'no events'}; {removed['overrides']} overrides.")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None


def _verb(experiment: str, verb: str, body: dict[str, Any], why: str | None, yes: bool) -> None:
    from urllib.parse import quote

    _change(f"/experiments/{quote(experiment, safe='')}/{verb}", body, why, yes)


def _change(path: str, body: dict[str, Any], why: str | None, yes: bool) -> None:
    from ekiben.clients.controller import ControllerClient
    from ekiben.commands.changing import change
    from ekiben.terminal.screen import screen

    change(screen(), ControllerClient.from_environ(os.environ), path, body, why=why, yes=yes)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError("--steps are percentages with commas between them, such as 2,10,50,100") from None
