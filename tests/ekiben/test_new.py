"""`ekiben new`: what it writes, what it refuses, and the way of a new user's own model to an answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_diabetes

from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.new.entry import next_port, with_listed, with_version
from ekiben.new.template import new_schema, read_schema, schema_module, service_module, training_module
from ekiben.project.models import parse_models
from ekiben.project.names import Kind
from ekiben.state.documents.experiments_file import parse_experiments
from ekiben.terminal.errors import EkibenError
from tests.ekiben.running import (
    ONE_VERSION,
    ROOT,
    assert_nothing_left,
    ekiben,
    environment,
    on_free_ports,
    service_ports,
    start_up,
)  # fmt: skip

OURS = (ROOT / "experiments.yaml").read_text()
FIELDS = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
COLUMNS = ", ".join((*FIELDS, "target"))


def clone(folder: Path) -> Path:
    """The repository as a new user has it, without what git ignores."""
    target = folder / "clone"
    what = ("*.py", "ekiben", "models.yaml", "pyproject.toml", "training")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *what]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in listed:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    (target / "experiments.yaml").write_text(on_free_ports(ONE_VERSION))
    return target


def test_a_written_service_is_what_the_services_of_credit_are() -> None:
    ours = (ROOT / "services" / "credit" / "v1.py").read_text()
    schema = read_schema((ROOT / "services" / "credit" / "schema.py").read_text(), "schema.py")
    written = service_module("credit", "v1", schema)
    assert written.splitlines()[1:] == ours.splitlines()[1:], "they differ in more than their first line"


@pytest.mark.parametrize("kind", Kind)
def test_what_is_written_of_each_kind_is_python_that_agrees(kind: Kind, tmp_path: Path) -> None:
    schema = new_schema("loan_risk", ["words"] if kind is Kind.TEXT else ["age", "income"])
    assert schema.features == "LoanRiskFeatures"
    text = schema_module("loan_risk", schema, kind, ["no", "maybe"])
    assert read_schema(text, "there") == schema
    made: dict[str, Any] = {}
    exec(compile(text, "schema.py", "exec", dont_inherit=True), made)
    assert tuple(made["LoanRiskFeatures"].model_fields) == schema.fields
    several = kind in (Kind.TEXT, Kind.MULTICLASS)
    assert made["OUTPUT"].classes == (("maybe", "no") if several else ())
    files = {"schema": text, "train": training_module("loan_risk", "v1", schema, kind)}
    files["v1"] = service_module("loan_risk", "v1", schema)
    for name, written in files.items():
        (tmp_path / f"{name}.py").write_text(written)
    checks = (["format", "--check"], ["check", "--select", "F,E,UP,B"])
    for check in checks:
        ruff = [sys.executable, "-m", "ruff", *check, "--isolated", "--line-length", "100", str(tmp_path)]
        done = subprocess.run(ruff, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def document_of(text: str) -> Document:
    return parse_experiments(text.encode()).document


LISTED = """\
models:
  old:
    kind: regression
    versions:
      v1: {port: 3001, requirements: [torch], most_mib: 900}  # the first
"""
LISTED_IN_BRACES = "models: {old: {kind: regression, versions: {v1: {port: 3001}}}}\n"


def test_an_entry_is_added_and_every_line_that_was_there_stays() -> None:
    for model, version in (("diabetes", "v1"), ("credit", "v4")):
        text = with_version(OURS, document_of(OURS), model, version, 3004)
        left = iter(text.splitlines())
        assert all(line in left for line in OURS.splitlines())
        assert f'{version}: {{endpoints: ["http://127.0.0.1:3004"]}}' in text


FLOW = """\
models: {m: {live: a, versions: {a: {endpoints: ["http://127.0.0.1:3001"]}}}}
"""
WIDE_AND_WITHOUT_A_LAST_NEWLINE = """\
models:
    m:
        live: a
        versions:
            a:
                endpoints:
                    - "http://127.0.0.1:3001"  # the only one"""
MIXED = """\
experiments: {}
models:
  m:
    versions: {a: {endpoints: ["http://127.0.0.1:3001"]}}
    live: a

# the end
"""
EXPLICIT_KEYS = """\
models:
  ? m
  : live: a
    versions: {a: {endpoints: ["http://127.0.0.1:3001"]}}
"""


@pytest.mark.parametrize("text", [FLOW, WIDE_AND_WITHOUT_A_LAST_NEWLINE, MIXED])
@pytest.mark.parametrize(("model", "version"), [("m", "b"), ("n", "a")])
def test_an_entry_fits_into_files_of_any_layout(text: str, model: str, version: str) -> None:
    added = with_version(text, document_of(text), model, version, 3002)
    assert added.count("#") == text.count("#")
    later = with_version(added, document_of(added), model, "later", 3003)
    assert later.count("127.0.0.1") == 3


def test_a_file_that_cannot_be_edited_as_text_is_refused_with_the_entry_to_write() -> None:
    with pytest.raises(EkibenError, match=r"write models\.n\.versions\.b: \{endpoints"):
        with_version(EXPLICIT_KEYS, document_of(EXPLICIT_KEYS), "n", "b", 3002)


def test_the_next_port_is_after_the_highest_one_of_this_machine() -> None:
    def document(*endpoints: str) -> Document:
        versions = {f"v{n}": {"endpoints": [endpoint]} for n, endpoint in enumerate(endpoints)}
        return parse_document({"models": {"m": {"live": "v0", "versions": versions}}})

    assert next_port(document("http://10.0.0.1:9000"), {}) == 3001
    assert next_port(document("http://127.0.0.1:3002", "http://10.0.0.1:9000"), {}) == 3003
    assert next_port(document("http://localhost:3099"), {}) == 3101
    listed = parse_models(b"models: {m: {kind: text, versions: {v1: {port: 4000}}}}")
    assert next_port(document("http://127.0.0.1:3002"), listed) == next_port(None, listed) == 4001


EMPTY = ("", "# nothing yet\n", "models:\n", "models: {}  # yet\n", "models: {}\nexperiments: {}\n")


@pytest.mark.parametrize("text", EMPTY)
def test_the_first_entry_of_a_file_begins_its_models(text: str) -> None:
    first = with_version(text, None, "m", "v1", 3001)
    second = with_version(first, document_of(first), "n", "v1", 3002)
    assert list(document_of(second).models) == ["m", "n"]
    assert first.count("#") == second.count("#") == text.count("#")


@pytest.mark.parametrize("text", [*EMPTY[:-1], LISTED, LISTED_IN_BRACES])
def test_an_entry_is_added_to_the_list_of_models(text: str) -> None:
    added, before = text, parse_models(text.encode())
    for model, version, kind in (
        ("m", "v1", Kind.TEXT),
        ("m", "v2", Kind.TEXT),
        ("old", "v2", Kind.REGRESSION),
    ):
        added = with_listed(added, parse_models(added.encode()), model, version, kind, 3005)
    after = parse_models(added.encode())
    assert (after["m"].kind, after["m"].versions["v1"].requirements) == (Kind.TEXT, ("skops",))
    assert {name: list(its.versions) for name, its in after.items()} == {
        "m": ["v1", "v2"],
        "old": [*(before["old"].versions if "old" in before else ()), "v2"],
    }
    assert added.count("#") == text.count("#")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["credit", "v1"], 1, "models.yaml has credit v1 already"),
        (["left_over", "v1"], 1, "choose another name"),
        (["Bad-Name", "v1"], 2, "cannot be a module"),
        (["diabetes", "v1", "--features", "age,class"], 2, "'class' cannot be the name of a field"),
        (["diabetes", "schema"], 2, "cannot be a module: the model's schema is, use another"),
        (["import", "v1"], 2, "'import' cannot be a module: Python has a use for it, use another"),
        (["diabetes", "v1", "--features", "a,b,a"], 2, "'a' is there twice: give each once"),
        (["diabetes", "v1", "--features", "number"], 2, "'number' cannot be the name of a field"),
        (["diabetes", "v1", "--features", "target"], 2, "'target' cannot be the name of a field"),
        (["diabetes", "v1", "--kind", "text", "--features", "a,b"], 2, "begins with one feature"),
        (["diabetes", "v1", "--classes", "a,b"], 2, "--classes: a regression has none"),
        (["diabetes", "v1", "--kind", "text", "--classes", "a"], 2, "name two at least"),
        (["credit", "v9", "--features", "age"], 2, "has its features in"),
        (["diabetes", "v1", "--kind", "poetry"], 2, "--kind"),
    ],
)
def test_what_new_refuses_is_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    root = clone(tmp_path)
    left_over = root / "services" / "left_over" / "schema.py"
    left_over.parent.mkdir()
    left_over.write_text("")
    before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    env = environment(tmp_path / "data", root / "experiments.yaml")
    done = ekiben(["new", *arguments], env, cwd=root)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert words in line
    after = {file: file.read_bytes() for file in root.rglob("*") if file.is_file() and file.suffix != ".pyc"}
    assert after == before


def test_a_model_of_ones_own_is_served_through_the_router(tmp_path: Path) -> None:
    root = clone(tmp_path)
    store = tmp_path / "bentoml"
    trained = Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml") / "models" / "credit_v1"
    if trained.is_dir():  # else `ekiben up` trains it
        (store / "models").mkdir(parents=True)
        shutil.copytree(trained, store / "models" / "credit_v1")
    env = {**environment(tmp_path / "data", root / "experiments.yaml"), "BENTOML_HOME": str(store)}

    done = ekiben(["new", "diabetes", "v1", "--features", ",".join(FIELDS)], env, cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python training/diabetes/train.py" in done.stdout
    experiments = root / "experiments.yaml"
    experiments.write_text(on_free_ports(experiments.read_text()))

    with start_up(["--no-demo"], env, cwd=root) as up:  # what can start does, what cannot is named
        up.wait_for("Ctrl-C")
        assert (
            "there is no model diabetes_v1 in the BentoML store; run `python training" in up.out.read_text()
        )
        features = json.loads((root / "training/data/held_out.jsonl").read_text().splitlines()[0])["features"]
        done = ekiben(["predict", "credit", "--features", json.dumps(features)], env, cwd=root)
        assert (done.returncode, done.stderr) == (0, "")
        assert up.end() == 0

    train = [sys.executable, "-W", "ignore", "training/diabetes/train.py"]
    done = subprocess.run(train, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("data.csv is missing: put a file with the columns " + COLUMNS + " there\n")
    data = load_diabetes(as_frame=True, scaled=False).frame
    data.to_csv(root / "training" / "diabetes" / "data.csv", index=False)
    subprocess.run(train, cwd=root, env=env, check=True)

    service = root / "services" / "diabetes" / "v1.py"
    works = service.read_text()
    broken = 'def broken(stored):\n    raise ValueError("not today")\n\n\nDiabetesV1 = '
    service.write_text(works.replace("DiabetesV1 = ", broken).replace("OUTPUT)", "OUTPUT, broken)"))
    done = ekiben(["up", "--no-demo", "--once"], env, cwd=root)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "diabetes_v1 cannot start (ValueError: not today): see" in line
    assert re.search(rf"credit v1 +http://127.0.0.1:{service_ports(env)[0]}", done.stdout)
    service.write_text(works)

    with start_up(["--scenario", "none"], env, cwd=root) as up:
        up.wait_for("Ctrl-C")
        printed = up.out.read_text()
        assert "model credit: what each version answered" in printed
        assert re.search(r"model diabetes, rows made up: .*?v1 +live +1500 +2000 ", printed, re.DOTALL)
        features = data[FIELDS].iloc[0].to_dict()
        asked = ["predict", "diabetes", "--user", "u", "--features"]
        done = ekiben([*asked, json.dumps(features)], env, cwd=root)
        assert (done.returncode, done.stderr) == (0, "")
        answer = json.loads(done.stdout)
        assert answer["model_version"].startswith("diabetes_v1:")
        assert abs(answer["prediction"]["value"] - data["target"].iloc[0]) < 100
        done = ekiben([*asked, json.dumps({**features, "bmi": 1e10})], env, cwd=root)
        assert "bmi" in done.stderr
        status = ekiben(["status"], env, cwd=root).stdout
        assert "model diabetes" in status
        assert up.end() == 0
    assert_nothing_left(env)
