"""The commands that ask a running router, against one that runs; and what they say when there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from ekiben.commands.main import app
from ekiben.terminal.shell import run_command
from tests.ekiben.running import ekiben, environment, on_free_ports, service_ports, start_up
from tests.waiting import wait_for

EXPERIMENTS = """\
models:
  credit:
    live: v1
    versions:
      v1: {endpoints: ["http://127.0.0.1:3001"]}
      v2: {endpoints: ["http://127.0.0.1:3002"]}
experiments:
  credit-boosting:
    model: credit
    status: running
    variants:
      control:   {version: v1, weight: 80}
      treatment: {version: v2, weight: 20}
    overrides: {u-qa: treatment}
"""
APPLICANT = {
    "seniority": 9, "home": "rent", "time": 60, "age": 30, "marital": "married", "records": "no",
    "job": "freelance", "expenses": 73, "income": 129, "assets": 0, "debt": 0, "amount": 800, "price": 846,
}  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    folder = tmp_path_factory.mktemp("running")
    (folder / "experiments.yaml").write_text(on_free_ports(EXPERIMENTS))
    env = environment(folder / "data", folder / "experiments.yaml")
    with start_up(["--no-demo"], env) as up:
        up.wait_for("Ctrl-C")
        yield env


@pytest.fixture
def alone(tmp_path: Path) -> Mapping[str, str]:
    (tmp_path / "experiments.yaml").write_text(on_free_ports(EXPERIMENTS))
    return environment(tmp_path / "data", tmp_path / "experiments.yaml")


def test_predict_prints_the_answer_as_json(running: Mapping[str, str]) -> None:
    done = ekiben(["predict", "credit", "--user", "u-qa", "--features", json.dumps(APPLICANT)], running)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert (answer["version"], answer["variant"]) == ("v2", "treatment")
    assert 0 <= answer["prediction"]["probability_bad"] <= 1


def test_predict_takes_the_features_from_a_file_and_without_a_user_live_answers(
    running: Mapping[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "applicant.json"
    file.write_text(json.dumps(APPLICANT))
    done = ekiben(["predict", "credit", "--features", f"@{file}"], running)
    answer = json.loads(done.stdout)
    assert (answer["version"], answer["experiment"]) == ("v1", None)


def test_a_refused_prediction_is_one_line_that_names_the_field(running: Mapping[str, str]) -> None:
    features = json.dumps({**APPLICANT, "age": "thirty"})
    done = ekiben(["predict", "credit", "--user", "u", "--features", features], running)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "422" in line
    assert "age:" in line


def test_status_shows_versions_health_experiment_and_revision(running: Mapping[str, str]) -> None:
    done = ekiben(["status"], running)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ready, revision 1" in done.stdout
    assert "cache up, state up" in done.stdout
    assert "experiment credit-boosting" in done.stdout
    address = f"http://127.0.0.1:{service_ports(running)[1]}"
    for text in ("v1 (live)", "credit_v1:", "credit_v2:", address, "healthy"):
        assert text in done.stdout


def test_status_as_json_has_the_routers_answers_and_the_controllers(running: Mapping[str, str]) -> None:
    done = ekiben(["status", "--json"], running)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["router"]["ready"], told["router"]["models"][0]["live"]) == (True, "v1")
    assert (told["controller"]["leading"], told["controller"]["failing"]) == (True, {})
    assert told["silent"] == []


def test_a_controller_where_the_router_should_be_is_told_from_one(running: Mapping[str, str]) -> None:
    controller = f"http://127.0.0.1:{running['EKIBEN_CONTROLLER_PORT']}"
    done = ekiben(["status"], {**running, "EKIBEN_ROUTER_URL": controller})
    assert (done.returncode, done.stderr) == (0, "")
    words = f"what answers at {controller} is not an Ekiben router: name the right one with EKIBEN_ROUTER_URL"
    assert words in " ".join(done.stdout.split())


def test_explain_reads_the_running_revision_from_redis_and_agrees_with_the_router(
    running: Mapping[str, str],
) -> None:
    for user in ("u-1", "u-2", "u-3", "u-qa"):
        done = ekiben(["explain", "credit-boosting", "--user", user], running)
        assert (done.returncode, done.stderr) == (0, "")
        answer = ekiben(["predict", "credit", "--user", user, "--features", json.dumps(APPLICANT)], running)
        served = json.loads(answer.stdout)
        assert f"variant {served['variant']}, version {served['version']}" in done.stdout
        assert "1, from the state Redis (unix:///tmp/" in done.stdout
        assert "treatment (v2): 8,000 to 9,999" in done.stdout
    assert "override: the experiment names this user" in done.stdout


def test_a_second_up_in_the_same_data_dir_is_one_line(running: Mapping[str, str]) -> None:
    done = ekiben(["up"], running)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "already runs in" in line


def test_a_refused_edit_of_the_file_is_told_on_the_terminal_and_by_status(
    running: Mapping[str, str],
) -> None:
    file = Path(running["EKIBEN_EXPERIMENTS_FILE"])
    terminal, good = file.parent / "up.out", file.read_text()
    try:
        file.write_text(f"{good}experimentz: {{}}\n")
        wait_for(lambda: "is not applied, since" in terminal.read_text())
        assert "did you mean experiments?" in terminal.read_text()
        told = ekiben(["status"], running).stdout
        assert "is not applied, since" in " ".join(told.split())
    finally:
        file.write_text(good)
    wait_for(lambda: "is in force." in terminal.read_text())


def test_explain_without_a_router_reads_the_file_and_says_so(alone: Mapping[str, str]) -> None:
    done = ekiben(["explain", "credit-boosting", "--user", "u-1"], alone)
    assert done.returncode == 0
    assert "does not answer" in " ".join(done.stdout.split())  # a long path wraps the line
    assert not Path(alone["EKIBEN_DATA_DIR"]).exists()


def test_explain_as_json_says_what_decided(alone: Mapping[str, str]) -> None:
    done = ekiben(["explain", "credit-boosting", "--user", "u-qa", "--json"], alone)
    told = json.loads(done.stdout)
    assert (told["decided_by"], told["variant"], told["version"]) == ("override", "treatment", "v2")
    assert told["ranges"][1] == {"variant": "treatment", "version": "v2", "first": 8000, "last": 9999}
    assert (told["revision"], told["namespace"]) == (None, None)


def test_the_version_is_told(alone: Mapping[str, str]) -> None:
    done = ekiben(["--version"], alone)
    assert (done.returncode, done.stdout) == (0, f"ekiben {version('ekiben')}\n")


def test_a_shell_completes_commands(alone: Mapping[str, str]) -> None:
    asked = {"_EKIBEN_COMPLETE": "complete_bash", "COMP_WORDS": "ekiben pa", "COMP_CWORD": "1"}
    done = ekiben([], {**alone, **asked})
    assert (done.returncode, done.stdout.split()) == (0, ["panic", "pause"])
    # Under `sh`, as make runs the tests, no shell would be found.
    script = ekiben(
        ["--show-completion", "bash"], {**alone, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    )
    assert "_ekiben_completion" in script.stdout


def test_an_experiments_file_that_cannot_be_read_is_wrong_usage(
    alone: Mapping[str, str], tmp_path: Path
) -> None:
    done = ekiben(["up"], {**alone, "EKIBEN_EXPERIMENTS_FILE": str(tmp_path / "nowhere.yaml")})
    assert done.returncode == 2
    assert "nowhere.yaml: No such file" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["status"], 1, "no router answers at http://127.0.0.1:ROUTER"),
        (["predict", "credit", "--features", "{}"], 1, "start one with `ekiben up`"),
        (["predict", "credit", "--features", "{"], 2, "--features is not JSON"),
        (["predict", "credit", "--features", "[1]"], 2, "must be a JSON object"),
        (["predict", "credit", "--features", "@nowhere"], 2, "cannot read nowhere"),
        (["explain", "nothing", "--user", "u"], 1, "there is no experiment 'nothing'"),
        (["explain", "credit-boosting"], 2, "Missing option '--user' (try --help)"),
        (["explain", "credit-boosting", "--user", ""], 2, "--user"),
        (["explain", "credit-boosting", "--user", "\udcff"], 2, "--user is not UTF-8"),
        (["train", "--version", "v99"], 2, "credit has no version v99"),
        (["up", "--port", "0"], 2, "--port"),
        (["check", "nowhere.yaml"], 2, "cannot read nowhere.yaml: No such file or directory\n"),
        (["fly"], 2, "No such command 'fly'"),
    ],
)
def test_what_cannot_work_is_one_line_on_stderr(
    alone: Mapping[str, str], arguments: list[str], code: int, words: str
) -> None:
    done = ekiben(arguments, alone)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines(keepends=True)
    assert line.startswith("ekiben: ")
    assert words.replace("ROUTER", alone["EKIBEN_PORT"]) in line


def test_an_error_nobody_foresaw_is_one_line_and_its_traceback_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EKIBEN_DATA_DIR", str(tmp_path))

    @app.command()
    def break_down() -> None:
        raise RuntimeError("one\ntwo")

    try:
        assert run_command(app, ["break-down"]) == 1
    finally:
        app.registered_commands.pop()
    log = tmp_path / "logs" / "ekiben.log"
    assert capsys.readouterr().err == f"ekiben: unexpected RuntimeError: one; the details are in {log}\n"
    assert "in break_down" in log.read_text()


def test_what_needs_no_controller_is_not_listed_among_what_does(alone: Mapping[str, str]) -> None:
    panels = ekiben(["--help"], alone).stdout.split("╭─ ")
    (files,) = (panel for panel in panels if panel.startswith("Experiments files"))
    assert [line.split()[1] for line in files.splitlines()[1:] if line[2:3].isalpha()] == [
        *("schema", "check", "probe")
    ]


@pytest.mark.parametrize("command", ["up", "train", "status", "predict", "explain", "new"])
def test_every_command_explains_itself(alone: Mapping[str, str], command: str) -> None:
    assert command in ekiben(["--help"], alone).stdout
    done = ekiben([command, "--help"], alone)
    assert done.returncode == 0
    assert f"ekiben {command}" in done.stdout
    assert len(done.stdout.splitlines()) > 5


def test_train_runs_the_training_of_the_folder_where_it_is_called(
    alone: Mapping[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "training" / "toy" / "train.py"
    script.parent.mkdir(parents=True)
    script.write_text("import sys; print('asked for', sys.argv[1:]); sys.exit('no data\\ntoy: no data')")
    done = ekiben(["train", "toy", "--version", "v2"], alone, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "asked for ['v2']\n")
    assert done.stderr == "no data\nekiben: training/toy/train.py: toy: no data\n"
    for arguments, words in ((["other"], "(models with one: toy)"), ([], "toy: no data")):
        assert words in ekiben(["train", *arguments], alone, cwd=tmp_path).stderr
    script.unlink()
    assert "there is no training/MODEL/train.py" in ekiben(["train"], alone, cwd=tmp_path).stderr
