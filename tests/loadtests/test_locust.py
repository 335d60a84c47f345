"""Load tests as they are run: a Locust process against a running router over real services."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.loadtests.conftest import ROOT, Locust, get
from tests.ports import free_port

# Nothing here is to depend on how fast the machine is.
LENIENT = ("--slo-p99-ms", "5000", "--slo-error-rate", "0")
SOAK = ("--shape", "soak", "--soak-s", "2", "--peak-users", "4")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_that_holds_the_slo_exits_with_0_and_leaves_its_reports(
    router: str, locust: Locust, tmp_path: Path
) -> None:
    run = locust(router, *SOAK, *LENIENT)
    assert run.returncode == 0, run.stdout
    assert run.stdout.splitlines()[-1].startswith("SLO held: ")
    assert "<html" in (tmp_path / "run.html").read_text()
    counted = {row["Name"]: int(row["Request Count"]) for row in table(tmp_path / "run_stats.csv")}
    assert counted["Aggregated"] > 0
    assert counted["/predict/credit v1"] > 0
    assert counted["/predict/credit v2"] > 0
    assert counted["/outcomes"] > 0
    assert "/predict/credit without an answer" not in counted
    answers = sum(count for name, count in counted.items() if name.startswith("/predict/"))
    said = re.search(rf"^(\d+) of {answers} answers came from the cache", run.stdout, re.MULTILINE)
    assert said is not None, run.stdout
    assert int(said[1]) < answers / 2, "by default the models work"


def test_a_p99_past_the_slo_exits_with_1_and_one_line_says_so(router: str, locust: Locust) -> None:
    # The service takes 200 ms for whatever it is asked.
    run = locust(router, *SOAK, "--model", "slow", "--slo-p99-ms", "100", "--slo-error-rate", "0")
    assert run.returncode == 1, run.stdout
    last = run.stdout.splitlines()[-1]
    assert last.startswith("SLO broken: p99 is ")
    assert last.endswith(" ms, over 100 ms (--slo-p99-ms)")


def test_errors_on_worker_processes_break_the_slo_on_the_master(
    router: str, locust: Locust, tmp_path: Path
) -> None:
    port = str(free_port())
    ports = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port)
    soak = ("--shape", "soak", "--soak-s", "5", "--peak-users", "4")  # processes take seconds to meet
    run = locust(router, *soak, *LENIENT[:2], "--model", "refuses", "--processes", "2", *ports)
    assert run.returncode == 1, run.stdout
    line = "SLO broken: the error rate is 1, over 0.001 (--slo-error-rate)"
    assert run.stdout.splitlines().count(line) == 1
    (failures,) = table(tmp_path / "run_failures.csv")
    assert "status 422: features-refused" in failures["Error"]


def test_a_router_that_moves_a_user_is_caught(
    services: Mapping[str, str], locust: Locust, tmp_path: Path
) -> None:
    run = locust(services["liar"], *SOAK, *LENIENT, "--population", "1")
    assert run.returncode == 1, run.stdout
    assert run.stdout.splitlines()[-1].startswith("SLO broken: the error rate is ")
    errors = {row["Error"] for row in table(tmp_path / "run_failures.csv")}
    assert any("the user's version changed from v" in error for error in errors)


def test_outcomes_say_what_each_decision_earned(
    services: Mapping[str, str], locust: Locust, tmp_path: Path
) -> None:
    liar = services["liar"]
    applications = tmp_path / "applications.jsonl"
    applications.write_text(json.dumps({"features": {"amount": 1000, "age": 40}, "status": "bad"}))
    slo = (*LENIENT[:2], "--slo-error-rate", "1")
    before = len(get(f"{liar}/outcomes"))  # by other tests' runs
    run = locust(liar, *SOAK, *slo, "--outcomes-share", "1", "--population", "1",
                 "--applications", str(applications))  # fmt: skip
    assert run.returncode == 0, run.stdout
    reported = get(f"{liar}/outcomes")[before:]
    assert reported
    for outcome in reported:
        assert (outcome["name"], outcome["value"]) == ("profit", -600.0)
        assert outcome["prediction_id"].startswith("p-u-")


def test_steps_stop_past_the_slo_and_report_the_knee(router: str, locust: Locust, tmp_path: Path) -> None:
    # More than two at a time take the service 2.5 s: two clients are answered at once, four are not.
    traffic = ("--model", "crowd", "--think-s", "0", "--zipf", "0", "--population", "1337")
    steps = ("--shape", "steps", "--step-users", "2", "--steps", "5", "--step-s", "4", "--settle-s", "1")
    run = locust(router, *traffic, *steps, "--slo-p99-ms", "2000")
    assert run.returncode == 0, run.stdout
    assert any(line.startswith("the knee: 2 users, ") for line in run.stdout.splitlines()), run.stdout
    rows = table(tmp_path / "run_knee.csv")
    assert [(row["users"], row["slo"], row["knee"]) for row in rows] == [
        ("2", "held", "knee"),
        ("4", "broken", ""),
    ]


def test_without_a_router_the_run_ends_at_once_and_says_what_to_set(locust: Locust) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    run = locust(url, *SOAK)
    assert run.returncode == 2, run.stdout
    assert f"no router answers at {url} (set ROUTER_URL)" in run.stdout.splitlines()[-1]
    assert "Traceback" not in run.stdout


def users_at(shape: str, options: dict[str, Any], seconds: list[float]) -> list[int | None]:
    """What a shape says, asked in a process of its own."""
    program = (
        "import argparse, json, sys\n"
        "from loadtests.shapes import SHAPES\n"
        "shape, options, seconds = json.load(sys.stdin)\n"
        "made = SHAPES[shape](argparse.Namespace(**options))\n"
        "print(json.dumps([made.users_at(second) for second in seconds]))\n"
    )
    asked = json.dumps([shape, options, seconds])
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, input=asked, capture_output=True, text=True, check=True
    )
    found: list[int | None] = json.loads(run.stdout)
    return found


def test_a_ramp_climbs_in_a_line_and_stays_at_the_peak() -> None:
    options = {"climb_s": 10, "hold_s": 5, "peak_users": 20}
    assert users_at("ramp", options, [0, 2.5, 5, 10, 14.9, 15]) == [1, 5, 10, 20, 20, None]


def test_a_spike_comes_and_goes() -> None:
    options = {"base_s": 10, "spike_s": 5, "base_users": 2, "peak_users": 50}
    assert users_at("spike", options, [0, 9.9, 10, 14.9, 15, 24.9, 25]) == [2, 2, 50, 50, 2, 2, None]
