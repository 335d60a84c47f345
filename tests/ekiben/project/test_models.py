"""models.yaml: what is read of it, what is refused, and that the repository agrees with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ekiben.clients.document import read_document
from ekiben.demo.scenario import SCENARIOS, scenario_file
from ekiben.project.models import module_file, parse_models, read_models, service_of
from ekiben.terminal.errors import EkibenError
from tests.processes import ROOT

OURS = read_models(ROOT)


def test_every_version_has_its_module_and_every_module_of_a_version_is_listed() -> None:
    listed = {
        module_file(ROOT, service_of(model, version, one)[0])
        for model, its in OURS.items()
        for version, one in its.versions.items()
    }
    assert all(file.is_file() for file in listed)
    makes = re.compile(r"^\w+ = (service|version)\(", re.MULTILINE)
    served = {file for file in (ROOT / "services").glob("*/*.py") if makes.search(file.read_text())}
    assert served
    assert served <= listed


def test_every_port_is_given_once() -> None:
    ports = [one.port for its in OURS.values() for one in its.versions.values()]
    assert len(ports) == len(set(ports))


def test_what_experiments_and_scenarios_route_to_on_this_machine_are_the_listed_ports() -> None:
    documents = [read_document(ROOT / "experiments.yaml").document]
    documents += [scenario_file(path.stem) for path in SCENARIOS.glob("*.yaml")]
    for document in documents:
        for name, model in document.models.items():
            for version, one in model.versions.items():
                port = OURS[name.removesuffix("-demo")].versions[version].port
                assert one.endpoints == (f"http://127.0.0.1:{port}",)


def test_a_module_may_be_named_with_its_service() -> None:
    listed = parse_models(
        b"models: {m-a: {kind: text, versions: {v1: {port: 1}, v2: {port: 2, module: 'a.b:C'}}}}"
    )
    versions = listed["m-a"].versions
    assert service_of("m-a", "v1", versions["v1"]) == ("services.m_a.v1", "MAV1")
    assert service_of("m-a", "v2", versions["v2"]) == ("a.b", "C")


def test_a_folder_without_a_list_has_no_models_and_neither_has_an_empty_list(tmp_path: Path) -> None:
    assert read_models(tmp_path) == {}
    for text in ("", "# none yet\n", "models: {}\n", "models:\n"):
        (tmp_path / "models.yaml").write_text(text)
        assert read_models(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("models: [m]", "it must be a mapping with the one key models, and each model below it"),
        ("modles: {}", "it must be a mapping with the one key models, and each model below it"),
        (
            "models:\n  m:\n    kind: poetry\n    versions: {v1: {port: 1}}",
            "models.m.kind: must be one of regression, classification, multiclass, text, not ",
        ),
        (
            "models: {m: {kind: text, versions: {v1: {port: 0}}}}",
            "models.m.versions.v1.port: must be at least 1 and at most 65535, not 0 (line 1)",
        ),
        (
            "models: {m: {kind: text, versions: {v1: {port: 1, prot: 2}}}}",
            'models.m.versions.v1.prot: there is no key "prot"; did you mean port?',
        ),
        (
            "models: {M: {kind: text, versions: {v1: {port: 1}}}}",
            'models.M: "M" cannot be a module: use a-z, 0-9, _ and -, a letter first (line 1)',
        ),
        ("models: {m: {}, m: {}}", "line 1: "),
    ],
)
def test_what_is_wrong_is_a_line_with_its_place(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(EkibenError) as raised:
        read_models(tmp_path)
    assert f"{tmp_path / 'models.yaml'}: {line}" in str(raised.value)
