"""`ekiben up` with real services, a real router and a real Redis."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
import urllib.request
from pathlib import Path

from ekiben.clients.document import bench_document, read_document
from tests.ekiben.running import (
    ONE_VERSION,
    ROOT,
    assert_nothing_left,
    ekiben,
    environment,
    on_free_ports,
    processes_of,
    service_ports,
    start_up,
)  # fmt: skip
from tests.ports import free_port


def one_version(tmp_path: Path) -> dict[str, str]:
    experiments = tmp_path / "experiments.yaml"
    experiments.write_text(on_free_ports(ONE_VERSION))
    return environment(tmp_path / "data", experiments)


def test_up_once_prints_the_table_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # Who answers is the question here, not how fast: on a busy machine live would answer for some.
    ours = (ROOT / "experiments.yaml").read_text().replace("timeout_ms: 300", "timeout_ms: 30000")
    (tmp_path / "experiments.yaml").write_text(on_free_ports(ours))
    env = environment(tmp_path / "data", tmp_path / "experiments.yaml")
    done = ekiben(["up", "--once"], env)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {
        found[1]: found.groups()[1:]
        for line in done.stdout.splitlines()
        if (found := re.match(r" *(v\d) +(live, control|treatment|shadow) +(\S+) +(\S+) +(\S+) ", line))
    }
    assert list(rows) == ["v1", "v2", "v3"]
    users, requests = ([int(rows[version][column]) for version in ("v1", "v2")] for column in (1, 2))
    assert (sum(users), sum(requests)) == (1500, 2000)
    assert 0.46 < users[1] / 1500 < 0.54
    assert rows["v3"] == ("shadow", "-", "2000", "-")
    assert re.search(r"v1: \d+\.\d %", done.stdout)
    router = f"http://127.0.0.1:{env['EKIBEN_PORT']}"
    assert f"curl -s {router}/predict/credit" in done.stdout
    assert f"{router}/docs" in done.stdout
    assert "could not answer" not in done.stdout
    assert_nothing_left(env)


def test_a_child_that_dies_is_one_line_with_its_log_and_everything_else_ends(tmp_path: Path) -> None:
    env = one_version(tmp_path)
    with start_up(["--no-demo"], env) as up:
        up.wait_for("Ctrl-C")
        # BentoML's supervisor, whose worker is in a session of its own.
        pids = [
            pid for pid, command in processes_of(tmp_path / "data").items() if " bentoml serve " in command
        ]
        assert len(pids) == 1
        os.kill(pids[0], signal.SIGKILL)
        assert up.process.wait(20) == 1
        (line,) = up.errors()
        assert "credit_v1 was killed by signal 9" in line
        assert line.endswith(f"see {tmp_path / 'data' / 'logs' / 'credit_v1.log'}")
    assert_nothing_left(env)


def test_a_killed_up_leaves_nothing_behind_and_the_next_one_starts(tmp_path: Path) -> None:
    env = one_version(tmp_path)
    with start_up(["--no-demo"], env) as up:
        up.wait_for("Ctrl-C")
        assert up.end(signal.SIGKILL) == -signal.SIGKILL
    with start_up(["--no-demo"], env) as up:  # at once: it waits until the first one's remains are gone
        up.wait_for("Ctrl-C")
        assert up.end(signal.SIGHUP) == 0
    assert_nothing_left(env)


def test_a_signal_while_it_starts_ends_it_too(tmp_path: Path) -> None:
    env = one_version(tmp_path)
    with start_up(["--no-demo"], env) as up:
        while not any(" bentoml serve " in command for command in processes_of(tmp_path / "data").values()):
            time.sleep(0.02)
        assert up.end(signal.SIGTERM) == 128 + signal.SIGTERM
        assert up.errors() == []
    assert_nothing_left(env)


def test_a_taken_port_is_one_line_and_nothing_is_started(tmp_path: Path) -> None:
    env = one_version(tmp_path)
    (port,) = service_ports(env)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = ekiben(["up", "--once"], env)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"port {port}, wanted by credit_v1, is taken" in line
    assert_nothing_left(env)


def test_every_problem_of_the_experiments_file_is_a_line_with_its_path(tmp_path: Path) -> None:
    env = one_version(tmp_path)
    experiments = tmp_path / "experiments.yaml"
    experiments.write_text(experiments.read_text().replace("live: v1", "live: v7"))
    done = ekiben(["up"], env)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "models.credit.live" in line
    assert_nothing_left(env)


def test_a_change_that_may_not_follow_what_ran_before_is_told_before_anything_starts(tmp_path: Path) -> None:
    env = one_version(tmp_path)
    experiment = """
experiments:
  e:
    model: credit
    status: running
    variants: {control: {version: v1, weight: 80}, treatment: {version: v9, weight: 20}}
"""
    elsewhere = f"http://127.0.0.1:{free_port()}"
    experiments = tmp_path / "experiments.yaml"
    text = experiments.read_text() + f'      v9: {{endpoints: ["{elsewhere}"]}}\n' + experiment
    experiments.write_text(text)
    with start_up(["--no-demo"], env) as up:
        up.wait_for("Ctrl-C")
        assert f"{elsewhere} (taken as running)" in up.out.read_text()
        assert up.end() == 0
    experiments.write_text(text.replace("weight: 80", "weight: 50").replace("weight: 20", "weight: 50"))
    done = ekiben(["up"], env)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert "experiments.e.variants.control.weight: cannot change while the experiment is running" in first
    assert "experiments.e.variants.treatment.weight" in second
    assert_nothing_left(env)


def test_bench_runs_one_router_worker_on_equal_parts_without_shadow(tmp_path: Path) -> None:
    experiments = tmp_path / "experiments.yaml"
    experiments.write_text(
        on_free_ports("""
models:
  credit:
    live: v1
    versions:
      v1: {endpoints: ["http://127.0.0.1:3001"]}
      v2: {endpoints: ["http://127.0.0.1:3002"]}
    shadow: {v2: 100}
experiments:
  e:
    model: credit
    status: running
    coverage: 10
    variants: {control: {version: v1, weight: 80}, treatment: {version: v2, weight: 20}}
""")
    )
    env = environment(tmp_path / "data", experiments)
    with start_up(["--bench"], env) as up:
        up.wait_for("Ctrl-C")
        assert "workers: 1" in up.out.read_text()
        for user in range(20):
            url = f"http://127.0.0.1:{env['EKIBEN_PORT']}/assignment/e?user_id={user}"
            with urllib.request.urlopen(url) as answer:
                assert json.load(answer)["in_experiment"]
        assert up.end(signal.SIGTERM) == 0
    derived = read_document(tmp_path / "data" / "bench" / "experiments.yaml").document
    assert derived == bench_document(read_document(experiments).document)
    assert_nothing_left(env)
