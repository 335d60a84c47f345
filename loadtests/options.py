"""What a load test takes on the command line, beside Locust's own options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

APPLICATIONS: Final = Path(__file__).resolve().parents[1] / "training" / "data" / "held_out.jsonl"


def add_options(parser: Any, shapes: list[str]) -> None:
    """Add the options to Locust's parser.

    Their values are only what msgpack can carry: the master sends them to its workers.
    """
    group = parser.add_argument_group("Ekiben: who asks for what")

    def add(flag: str, kind: Callable[[str], Any], default: float, about: str) -> None:
        group.add_argument(flag, type=kind, default=default, help=f"{about} ({default:g})")

    seconds, whole, share = _number(float, 0.0), _number(int, 1), _number(float, 0.0, 1.0)
    group.add_argument("--model", default="credit", help="model to ask for a prediction (credit)")
    sent = (
        'what users send: lines of {"features": {…}, "status": "good"|"bad"} (training/data/held_out.jsonl)'
    )
    group.add_argument("--applications", metavar="FILE", help=sent)
    add("--population", whole, 100_000, "how many users there are to draw from")
    add("--zipf", seconds, 0.5, "exponent of the draw: 0 draws evenly, 1.1 makes most answers repeats")
    add("--seed", int, 1, "seed of the draw and of the think times")
    add("--think-s", seconds, 0.1, "mean think time, exponential, in seconds")
    add("--timeout-s", _number(float, 0.1), 5.0, "a client gives up after so long")
    add("--outcomes-share", share, 0.2, "share of answers whose outcome is reported to POST /outcomes")

    group = parser.add_argument_group("Ekiben: the shape of the load")
    group.add_argument("--shape", choices=shapes, help="; ".join(_SHAPES))
    add("--peak-users", whole, 20, "ramp, spike, soak: most clients at once")
    add("--climb-s", seconds, 30.0, "ramp: seconds up to the peak")
    add("--hold-s", seconds, 30.0, "ramp: seconds at the peak")
    add("--base-users", whole, 2, "spike: clients before and after it")
    add("--base-s", seconds, 20.0, "spike: seconds before it, and after")
    add("--spike-s", seconds, 20.0, "spike: seconds it lasts")
    add("--soak-s", seconds, 300.0, "soak: seconds it lasts")
    add("--step-users", whole, 20, "steps: clients that each step adds")
    add("--steps", whole, 10, "steps: most steps")
    add("--step-s", seconds, 15.0, "steps: seconds a step lasts")
    add("--settle-s", seconds, 5.0, "steps: seconds at its start not counted")

    group = parser.add_argument_group("Ekiben: the SLO; past it the exit code is 1")
    add("--slo-p99-ms", seconds, 200.0, "most milliseconds at the 99th percentile")
    add("--slo-error-rate", share, 0.001, "largest share of failed requests")


_SHAPES: Final = (
    "ramp: from one client to the peak in a line, then on",
    "spike: suddenly the peak, and back",
    "soak: the peak for a long time",
    "steps: a staircase that finds the highest load which meets the SLO",
)


def find_mistake(options: argparse.Namespace, distributed: bool, report_interval_s: float) -> str | None:
    """What contradicts itself in the options, in words; None when nothing does."""
    if options.shape != "steps":
        return None
    if options.settle_s >= options.step_s:
        return f"--settle-s {options.settle_s:g} leaves nothing of --step-s {options.step_s:g} to be measured"
    if distributed and options.settle_s < 2 * report_interval_s:
        return (
            f"--settle-s {options.settle_s:g} is too short: with workers, figures arrive "
            f"{report_interval_s:g} s late; give it at least {2 * report_interval_s:g}"
        )
    return None


def _number(kind: type[Any], least: float, most: float | None = None) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        # NaN fails every comparison.
        if value is None or not least <= value <= (float("1e9") if most is None else most):
            upward = f"of at least {least:g}" if most is None else f"from {least:g} to {most:g}"
            raise argparse.ArgumentTypeError(f"must be a {_WORDS[kind]} {upward}, not {text!r}")
        return value

    return number


_WORDS: Final = {float: "number", int: "whole number"}
