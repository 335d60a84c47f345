"""The end of a run: the exit code, one line that says why, and for steps the table with the knee."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from locust.env import Environment
from locust.runners import Runner

from loadtests.shapes import Steps
from loadtests.slo import Figures, Slo, describe_knee, find_knee, render_table, write_table

# Exit codes: the SLO is broken; there was no proper run.
_BROKEN, _NO_RUN = 1, 2


class Verdict:
    """What a run came to. `mistake` is why there could be none; who finds it sets it."""

    def __init__(self) -> None:
        self.mistake: str | None = None
        self._lines: list[str] = []

    def judge(self, environment: Environment) -> None:
        """Decide on the exit code. Steps pass when there is a knee, everything else when the SLO holds."""
        options, runner = environment.parsed_options, environment.runner
        assert options is not None
        assert runner is not None
        mistake = self.mistake
        if mistake is None and runner.exceptions:
            mistake = "the locustfile itself failed; Locust shows the exceptions above"
        if mistake is not None:
            self._lines.append(f"load test: {mistake}")
            environment.process_exit_code = _NO_RUN
            return
        if runner.cpu_warning_emitted or getattr(runner, "worker_cpu_warning_emitted", False):
            self._lines.append(
                "load test: a Locust process used over 90 % of a core, so the times hold its own delays: "
                "use more --processes or more machines"
            )
        self._lines.append(_cached(runner))
        shape = environment.shape_class
        if isinstance(shape, Steps):
            broken, held = self._judge_steps(shape, options), "SLO held, up to the knee"
        else:
            figures = _figures(runner)
            broken = Slo(options.slo_p99_ms, options.slo_error_rate).broken(figures)
            held = (
                f"SLO held: {figures.requests} requests, {figures.rate:.0f} a second, "
                f"p99 {figures.percentile_ms(0.99)} ms, {figures.failures} failed"
            )
        self._lines.append(held if broken is None else f"SLO broken: {broken}")
        environment.process_exit_code = 0 if broken is None else _BROKEN

    def _judge_steps(self, shape: Steps, options: argparse.Namespace) -> str | None:
        if not shape.steps:
            return "no step was measured to its end"
        self._lines += ["", render_table(shape.steps), "", describe_knee(shape.steps)]
        if options.csv_prefix:
            write_table(Path(f"{options.csv_prefix}_knee.csv"), shape.steps)
        return None if find_knee(shape.steps) else shape.steps[0].broken

    def tell(self) -> None:
        """Print it."""
        sys.stdout.write("".join(f"{line}\n" for line in self._lines))
        sys.stdout.flush()


def _figures(runner: Runner) -> Figures:
    total = runner.stats.total
    seconds = (total.last_request_timestamp or total.start_time) - total.start_time
    return Figures(total.num_requests, total.num_failures, dict(total.response_times), seconds)


def _cached(runner: Runner) -> str:
    """How many of the answers no model had to work for."""
    counts = {name: each.num_requests for (name, _), each in runner.stats.entries.items()}
    answers = sum(count for name, count in counts.items() if name.startswith("/predict/"))
    cached = sum(count for name, count in counts.items() if name.endswith(" cached"))
    share = cached / answers if answers else 0.0
    return (
        f"{cached} of {answers} answers came from the cache ({share:.0%}); the models worked for the others"
    )
