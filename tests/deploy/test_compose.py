"""The compose file: what its services are told, what they may do, and in which order they start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml

from deploy.images.catalogue import images
from ekiben.control.settings import Settings as ControllerSettings
from ekiben.serving.door import SETTINGS
from ekiben.state.documents.experiments_file import read_experiments_file
from router.doors.table import OPERATIONS
from router.settings import Settings as RouterSettings
from tests.deploy.environment import SHARED, variables_read

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
IMAGES: Final = ROOT / "ekiben" / "building" / "images"
FILE: Final = DEPLOY / "compose.yaml"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(FILE.read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
SECRETS: Final = {
    "EKIBEN_ADMIN_TOKEN": "a-token-of-the-tests", "EKIBEN_USER_SALT": "a-salt", "GRAFANA_PASSWORD": "a-word",
}  # fmt: skip
OURS: Final = {name: its for name, its in SERVICES.items() if its["image"].startswith("ekiben/")}
PROGRAMS: Final = {"router": "router", "controller": "ekiben/control"}
# Written by others than us, with their own health checks.
FOREIGN: Final = {"redis-cache", "redis-state", "prometheus", "grafana"}


def environment(name: str) -> dict[str, str]:
    """What a service is told, with the secrets filled in."""
    told = {}
    for variable, value in SERVICES[name].get("environment", {}).items():
        found = re.fullmatch(r"\$\{(\w+)(:[-?].*)?\}", value)
        told[variable] = SECRETS.get(found[1], "") if found else value
    return told


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def published(name: str) -> list[int]:
    return [int(port.split(":")[-1]) for port in SERVICES[name].get("ports", [])]


def neighbours(name: str) -> set[str]:
    """The services that share a network with it."""
    mine = set(SERVICES[name]["networks"])
    return {other for other, its in SERVICES.items() if mine & set(its["networks"])}


def test_the_images_are_those_that_make_images_builds() -> None:
    assert {its["image"] for its in OURS.values()} <= {image.reference for image in images().values()}
    assert set(SERVICES) - set(OURS) == FOREIGN


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_with_no_more_rights_than_it_needs(name: str) -> None:
    its = SERVICES[name]
    assert its["read_only"] is True
    assert its["cap_drop"] == ["ALL"]
    assert its["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", its["user"])
    assert {"cpus", "memory"} == set(its["deploy"]["resources"]["limits"])
    assert its["pids_limit"] > 0
    assert "privileged" not in its
    assert "cap_add" not in its


@pytest.mark.parametrize("name", OURS)
def test_ours_write_to_tmp_and_to_their_own_volume(name: str) -> None:
    assert [mount.split(":")[0] for mount in OURS[name]["tmpfs"]] == ["/tmp"]
    writable = [each for each in OURS[name].get("volumes", []) if type(each) is str]
    assert all(each.endswith(f"{name}:/var/lib/ekiben") for each in writable)


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_the_published_ports_are_those_that_the_programs_listen_on() -> None:
    assert published("router") == [RouterSettings.from_environ(environment("router")).port]
    assert published("controller") == [ControllerSettings.from_environ(environment("controller")).port]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_variable_is_one_that_the_program_reads(name: str) -> None:
    read = variables_read((PROGRAMS[name], *SHARED), ("EKIBEN_", "REDIS_URL"))
    assert set(environment(name)) <= read


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_the_environment(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("KEY|PASSWORD|SALT|SECRET|TOKEN", variable):
            assert value.startswith("${"), variable
            assert ":?" in value or variable == "EKIBEN_API_KEYS", variable


def test_router_and_controller_hash_users_alike() -> None:
    told = [SERVICES[name]["environment"]["EKIBEN_USER_SALT"] for name in PROGRAMS]
    assert told[0] == told[1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_addresses_of_redis_lead_to_services_on_a_common_network(name: str) -> None:
    urls = {key: url for key, url in environment(name).items() if key.endswith("_URL")}
    wanted = {"EKIBEN_CACHE_URL": "redis-cache", "EKIBEN_STATE_URL": "redis-state"}
    for variable, url in urls.items():
        assert urlsplit(url).hostname == wanted[variable]
        assert urlsplit(url).port == 6379
        assert wanted[variable] in neighbours(name)


def test_the_experiments_are_valid_and_lead_to_versions_that_the_router_reaches() -> None:
    (mount,) = (each for each in SERVICES["controller"]["volumes"] if type(each) is dict)
    inside = Path(environment("controller")["EKIBEN_EXPERIMENTS_FILE"])
    assert str(inside.parent) == mount["target"]
    document = read_experiments_file(DEPLOY / mount["source"] / inside.name).document
    for model, its in document.models.items():
        for version, one in its.versions.items():
            (endpoint,) = one.endpoints
            assert (urlsplit(endpoint).hostname, urlsplit(endpoint).port) == (f"{model}-{version}", 3000)
            assert f"{model}-{version}" in neighbours("router")
    named = {f"{model}-{version}" for model, its in document.models.items() for version in its.versions}
    assert named == set(OURS) - set(PROGRAMS)


def test_only_the_router_and_prometheus_reach_the_versions_and_only_ours_reach_redis() -> None:
    for version in set(OURS) - set(PROGRAMS):
        assert neighbours(version) == {*set(OURS) - set(PROGRAMS), "router", "prometheus"}
    for redis in ("redis-cache", "redis-state"):
        assert neighbours(redis) == {"redis-cache", "redis-state", *PROGRAMS}
    internal = {name for name, its in COMPOSE["networks"].items() if its and its.get("internal")}
    assert internal == set(COMPOSE["networks"]) - {"outside"}


def test_prometheus_asks_every_program_of_ours_where_it_listens() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    asked = {target for job in scraped for each in job["static_configs"] for target in each["targets"]}
    ports = {name: published(name)[0] if name in PROGRAMS else 3000 for name in OURS}
    assert asked == {f"{name}:{port}" for name, port in ports.items()} | {"localhost:9090"}
    assert set(OURS) <= neighbours("prometheus")


def test_everything_starts_after_what_it_needs_is_healthy() -> None:
    needs = {name: its.get("depends_on", {}) for name, its in SERVICES.items()}
    versions = set(OURS) - set(PROGRAMS)
    assert set(needs["router"]) == {"redis-cache", "redis-state", *versions}
    assert set(needs["controller"]) == {"redis-state"}
    for wanted in needs.values():
        assert {each["condition"] for each in wanted.values()} <= {"service_healthy"}
        # Ours are checked by what their images say.
        assert all(each in OURS or "healthcheck" in SERVICES[each] for each in wanted)


def test_the_images_health_checks_ask_for_what_the_programs_answer() -> None:
    dockerfile = (IMAGES / "Dockerfile").read_text()
    checks = re.findall(r'healthcheck\.py", "(\w+)", "(\d+)"', dockerfile)
    assert checks == [("BENTOML_PORT", "3000"), ("EKIBEN_PORT", "3000"), ("EKIBEN_CONTROLLER_PORT", "3100")]
    (path,) = set(re.findall(r'"(/\w+)"', (IMAGES / "healthcheck.py").read_text()))
    assert path in {each.path for each in OPERATIONS if each.right is None}
    assert re.search(rf"\b{path[1:]}\b", (ROOT / "ekiben" / "control" / "api" / "health.py").read_text())


def test_each_redis_keeps_or_forgets_as_it_should() -> None:
    cache, state = (" ".join(SERVICES[name]["command"]) for name in ("redis-cache", "redis-state"))
    assert "--appendonly no" in cache
    assert "--maxmemory 256mb --maxmemory-policy allkeys-lru" in cache
    assert "--appendonly yes --appendfsync always" in state
    assert "--maxmemory-policy noeviction" in state


def test_each_redis_refuses_writes_before_its_container_is_full() -> None:
    for name in ("redis-cache", "redis-state"):
        command = SERVICES[name]["command"]
        most = int(command[command.index("--maxmemory") + 1].removesuffix("mb"))
        limit = SERVICES[name]["deploy"]["resources"]["limits"]["memory"]
        assert most <= 0.7 * {"384M": 384, "1G": 1024}[limit]


def test_the_state_has_a_volume_of_its_own() -> None:
    assert SERVICES["redis-state"]["volumes"] == ["redis-state:/data"]


def test_whoever_is_told_to_stop_has_the_time_it_asks_for() -> None:
    router = RouterSettings.from_environ(environment("router"))
    assert seconds(SERVICES["router"]["stop_grace_period"]) > router.shutdown_grace_s + 2
    controller = ControllerSettings.from_environ(environment("controller"))
    assert seconds(SERVICES["controller"]["stop_grace_period"]) > controller.shutdown_grace_s
    for version in set(OURS) - set(PROGRAMS):
        assert seconds(SERVICES[version]["stop_grace_period"]) > SETTINGS["traffic"]["timeout"]


def test_every_named_volume_and_network_is_declared_and_used() -> None:
    mounted = [each for its in SERVICES.values() for each in its.get("volumes", []) if type(each) is str]
    assert {each.split(":")[0] for each in mounted} == set(COMPOSE["volumes"])
    assert {name for its in SERVICES.values() for name in its["networks"]} == set(COMPOSE["networks"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_from_here_is_here(name: str) -> None:
    for mount in (each for each in SERVICES[name].get("volumes", []) if type(each) is dict):
        assert mount["read_only"] is True
        assert (DEPLOY / mount["source"]).is_dir()


def compose_client() -> list[str] | None:
    """The client that needs no daemon to read the file: the plugin, or the older program of its own."""
    plugin = ["docker", "compose"]
    if shutil.which("docker") and subprocess.run([*plugin, "version"], capture_output=True).returncode == 0:
        return plugin
    return ["docker-compose"] if shutil.which("docker-compose") else None


@pytest.mark.skipif(compose_client() is None, reason="no Docker Compose client is installed")
def test_docker_compose_takes_it(tmp_path: Path) -> None:
    client = compose_client()
    assert client is not None
    file = FILE
    if client == ["docker-compose"]:  # its last release, 1.29, knows no project name in the file
        file = tmp_path / "compose.yaml"
        file.write_text(yaml.safe_dump({key: value for key, value in COMPOSE.items() if key != "name"}))
    command = [*client, "--project-directory", str(DEPLOY), "-f", str(file), "config", "-q"]
    for told in (SECRETS, {name: value for name, value in SECRETS.items() if name != "EKIBEN_USER_SALT"}):
        done = subprocess.run(
            command, env={"PATH": os.environ["PATH"], **told}, capture_output=True, text=True, check=False
        )
        if told == SECRETS:
            assert done.returncode == 0, done.stderr
        else:
            assert done.returncode != 0
            assert "EKIBEN_USER_SALT" in done.stderr
