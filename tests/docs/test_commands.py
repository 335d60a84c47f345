"""Every command that README and docs name is one that there is, and works from nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import typer.main
from typer.core import TyperGroup

from ekiben.commands.main import app
from tests.docs.commands import documented, words
from tests.ekiben.running import PATIENCE_S, ROOT, Up, ekiben, environment, on_free_ports, start_up
from tests.ekiben.test_new import clone

# Typer has a copy of click of its own.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]
# Options of the program itself stand first; `--install-completion` would write into the tester's shell.
COMMAND = typer.main.get_command(app)
COMMANDS = {line: page for line, page in documented("ekiben").items() if not line.startswith("ekiben -")}

# In this order each finds what it needs: what the demo has left, a running experiment, a paused one … What
# ends or begins an experiment does so once: the draft begins when the first one has ended, and is promoted.
ONCE = ("roll-back", "start", "promote")
VERBS = (
    "status", "explain", "report", "plan", "plan-for", "history", "predict", "apply", "ramp", "acknowledge",
    "pause", "resume", "outcomes", "events", "gate", "shadow", "panic", *ONCE,
)  # fmt: skip
# `up` is what all of them run in; `new` and its model are gone through in tests/ekiben/test_new.py, and what
# writes outside or wants an empty installation in tests/ekiben/test_backup.py. `probe` is in probing/.
ELSEWHERE = {"up", "init", "new", "build", "train", "backup", "restore", "probe"}
FILES = {"outcomes": "outcomes.csv"} | dict.fromkeys(("apply", "check", "diff"), "experiments.yaml")
MEANT = {
    "EXPERIMENT": "credit-boosting", "MODEL": "credit", "VERSION": "v2", "USER": "u-1", "TAG": "any",
    "VARIANT": "treatment",
}  # fmt: skip

# The experiments that the pages show: those of the README, of the demo, and of a model of one's own.
SHOWN = ("credit-boosting", "demo-ramp", "pairs")

# It shows what a gate that refuses looks like; nothing was redeployed; what runs is planned already and has
# one treatment.
EXPECTED = {
    "ekiben retire EXPERIMENT VARIANT": 1,
    "ekiben gate credit v1 --against v2": 1,
    "ekiben acknowledge EXPERIMENT": 1,
    "ekiben plan-for EXPERIMENT --planned-users 20000": 1,
}


def verb(line: str) -> str:
    return line.split()[1]


@pytest.mark.parametrize("line", sorted(COMMANDS), ids=str)
def test_a_documented_command_is_understood_by_the_command_line(line: str) -> None:
    command: Any = COMMAND
    given = words(line, MEANT)
    while isinstance(command, TyperGroup) and given:
        found = command.get_command(typer.Context(command), given.pop(0))
        assert found is not None, f"{COMMANDS[line]}: there is no such command"
        command = found
    assert not isinstance(command, TyperGroup) or not given
    if given:  # else it only names the command
        try:
            command.make_context(command.name, given)
        except UsageError as error:
            pytest.fail(f"{COMMANDS[line]}: {error}")


def experiments_of_the_readme() -> str:
    """Our models, with the experiment that the README shows and a draft beside it."""
    ours = (ROOT / "experiments.yaml").read_text().split("\nexperiments:")[0]
    ours = on_free_ports(ours)
    shown = re.search(r"```yaml\n# experiments.yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    draft = """\
  a-draft:
    model: credit
    status: draft
    variants: {control: {version: v1, weight: 50}, treatment: {version: v3, weight: 50}}
"""
    # A report has numbers once the first users' windows are over: a week, unless told.
    experiment = shown[1].replace("kind: ", "window_hours: 0.0003, kind: ")
    return ours.replace("timeout_ms: 300", "timeout_ms: 30000") + "\n" + experiment + draft


@pytest.fixture(scope="module")
def from_nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Up]]:
    """A fresh copy of the repository with an empty model store, in which `ekiben up` stands."""
    folder = tmp_path_factory.mktemp("nothing")
    root = clone(folder)
    (root / "experiments.yaml").write_text(experiments_of_the_readme())
    env = {
        **environment(folder / "data", root / "experiments.yaml"),
        "BENTOML_HOME": str(folder / "bentoml"),
    }
    for process, port in (("ROUTER", env["EKIBEN_PORT"]), ("CONTROLLER", env["EKIBEN_CONTROLLER_PORT"])):
        env[f"EKIBEN_{process}_URL"] = f"http://127.0.0.1:{port}"
    with start_up(["--scenario", "none"], env, cwd=root) as up:
        up.wait_for("Ctrl-C")
        yield root, up


def ask_and_report(up: Up) -> None:
    """Users with outcomes, so that there is something to report on and to plan with. The demo has not seen
    them before: their windows begin now.
    """
    rows = (json.loads(line) for line in (ROOT / "training/data/held_out.jsonl").read_text().splitlines())
    for number, row in zip(range(600), rows, strict=False):
        answer = post(up, "/predict/credit", {"user_id": f"visitor-{number}", "features": row["features"]})
        outcomes = [
            {"prediction_id": answer["prediction_id"], "name": "profit", "value": float(number % 7)},
            {"prediction_id": answer["prediction_id"], "name": "approved", "value": number % 2},
        ]
        post(up, "/outcomes", {"outcomes": outcomes})


def post(up: Up, path: str, body: object) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{up.env['EKIBEN_ROUTER_URL']}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return dict(json.load(response))


@pytest.mark.skipif(
    not os.environ.get("EKIBEN_TEST_ALL"), reason="two minutes, trains all versions: make test-all"
)
def test_every_documented_command_works_from_an_empty_model_store(from_nothing: tuple[Path, Up]) -> None:
    root, up = from_nothing
    ask_and_report(up)
    labels = pa.table(
        {"user_id": ["u-1", "u-2"], "status": ["bad", "good"], "at": ["2026-11-20T00:00:00Z"] * 2}
    )
    pq.write_table(labels, root / "labels.parquet")
    (root / "outcomes.csv").write_text("user_id,name,value\nu-1,profit,3.5\n")
    until_planned(up, root)
    failed, done_once = [], set[str]()
    for line in sorted(COMMANDS, key=lambda line: VERBS.index(verb(line)) if verb(line) in VERBS else -1):
        name = verb(line)
        if name in ELSEWHERE or "reviews" in line:
            continue
        meant = {
            **MEANT,
            "FILE": FILES.get(name, "FILE"),
            "EXPERIMENT": "a-draft" if name in ("start", "promote") else "credit-boosting",
        }
        given = [meant["EXPERIMENT"] if word in SHOWN else word for word in words(line, meant)]
        if name in done_once or (len(given) == 1 and name not in {"status", "history"}):
            continue  # it only names the command
        command = given[: 2 if name in ("outcomes", "events") else 1]
        asks = "--why" in ekiben([*command, "--help"], up.env, cwd=root).stdout and "--why" not in given
        done = ekiben([*given, *(["--yes", "--why", "a test"] if asks else [])], up.env, cwd=root)
        if re.search("Missing |requires an argument", done.stderr):
            continue  # as above
        done_once |= {name} & set(ONCE)
        if done.returncode != EXPECTED.get(line, 0) or "Traceback" in done.stderr:
            failed.append(f"{line}: {done.returncode} {done.stdout[-300:]} {done.stderr[-500:]}")
        if name == "panic":
            assert ekiben(["panic", *given[1:], "--off"], up.env, cwd=root).returncode == 0
    assert not failed, "\n".join(failed)


def until_planned(up: Up, root: Path) -> None:
    """Wait until the report has what `ekiben plan` needs."""
    deadline = time.monotonic() + PATIENCE_S
    while (done := ekiben(["plan", "credit-boosting", "--effect", "5%"], up.env, cwd=root)).returncode != 0:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.5)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.skipif(
    not os.environ.get("EKIBEN_TEST_ALL"), reason="two minutes, trains all versions: make test-all"
)
def test_the_curl_lines_of_the_readme_get_an_answer(from_nothing: tuple[Path, Up]) -> None:
    _, up = from_nothing
    lines = [line for line, page in documented("curl").items() if page == "README.md"]
    assert lines
    for line in lines:
        typed = line.replace("http://127.0.0.1:3000", up.env["EKIBEN_ROUTER_URL"])
        typed = typed.replace("curl ", "curl -f ", 1)
        done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, env=up.env, check=False)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
