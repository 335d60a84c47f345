"""What a load test is told on the command line, beside Locust's own options."""

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
    traffic = parser.add_argument_group("Ekiben: who asks for what")
    seconds, whole, share = _number(float, 0.0), _number(int, 1), _number(float, 0.0, 1.0)
    add = traffic.add_argument
    add("--model", default="credit", help="model to ask for a prediction (credit)")
    add(
        "--applications",
        metavar="FILE",
        help='what users send: lines of {"features": {…}, "status": "good"|"bad"} '
        "(training/data/held_out.jsonl)",
    )
    add("--population", type=whole, default=100_000, help="how many users there are to draw from (100000)")
    add(
        "--zipf",
        type=seconds,
        default=0.5,
        help="exponent of the draw: 0 draws evenly, 1.1 makes most answers repeats (0.5)",
    )
    add("--seed", type=int, default=1, help="seed of the draw and of the think times (1)")
    add("--think-s", type=seconds, default=0.1, help="mean think time, exponential, in seconds (0.1)")
    add("--timeout-s", type=_number(float, 0.1), default=5.0, help="a client gives up after so long (5)")
    add(
        "--outcomes-share",
        type=share,
        default=0.2,
        help="share of answers whose outcome is reported to POST /outcomes (0.2)",
    )

    load = parser.add_argument_group("Ekiben: the shape of the load")
    add = load.add_argument
    add("--shape", choices=shapes, help="; ".join(_SHAPES))
    add("--peak-users", type=whole, default=20, help="ramp, spike, soak: most clients at once (20)")
    add("--climb-s", type=seconds, default=30.0, help="ramp: seconds up to the peak (30)")
    add("--hold-s", type=seconds, default=30.0, help="ramp: seconds at the peak (30)")
    add("--base-users", type=whole, default=2, help="spike: clients before and after it (2)")
    add("--base-s", type=seconds, default=20.0, help="spike: seconds before it, and after (20)")
    add("--spike-s", type=seconds, default=20.0, help="spike: seconds it lasts (20)")
    add("--soak-s", type=seconds, default=300.0, help="soak: seconds it lasts (300)")
    add("--step-users", type=whole, default=20, help="steps: clients that each step adds (20)")
    add("--steps", type=whole, default=10, help="steps: most steps (10)")
    add("--step-s", type=seconds, default=15.0, help="steps: seconds a step lasts (15)")
    add("--settle-s", type=seconds, default=5.0, help="steps: seconds at its start not counted (5)")

    slo = parser.add_argument_group("Ekiben: the SLO; past it the exit code is 1")
    add = slo.add_argument
    add("--slo-p99-ms", type=seconds, default=200.0, help="most milliseconds at the 99th percentile (200)")
    add("--slo-error-rate", type=share, default=0.001, help="largest share of failed requests (0.001)")


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
