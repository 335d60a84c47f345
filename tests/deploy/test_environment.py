"""Every variable that is set is read by the program; every one that it reads is set, or left on purpose."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ekiben.state.embedded import addresses
from ekiben.state.user import user_salt
from router.http.keys import Keys
from tests.deploy.environment import (
    SHARED,
    controller_settings,
    environment,
    only,
    router_settings,
    variables_read,
)
from tests.deploy.manifests import ROOT, Manifests

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "router": ("router", *SHARED),
    "controller": ("ekiben/control", *SHARED),
    "version": ("services", "ekiben/serving", "ekiben/process"),
}
OURS = ("EKIBEN_", "REDIS_URL", "BENTOML_", "OTEL_")

_DEFAULT = "its default is meant for this"
_LOOK = "one Redis for both is for a look"
_TRACES = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "the component traces sets it",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "the other one is enough",
    "OTEL_SDK_DISABLED": "there are no traces until a receiver is named",
    "OTEL_SERVICE_NAME": "a program knows its name",
}
_LOGIN_PROXY = "it is reached by port-forward only; whoever puts a login proxy before it sets this"
_JOB = "nothing is watched in a cluster: the Job of apply.yaml applies the file"
LEFT_OUT: Mapping[str, Mapping[str, str]] = {
    "router": {
        "REDIS_URL": _LOOK,
        "EKIBEN_EXPERIMENTS_FILE": _JOB,
        "EKIBEN_MAX_BODY_BYTES": _DEFAULT,
        "EKIBEN_ALLOWED_ORIGINS": "no web page calls it unless somebody lists its site",
        "EKIBEN_MAX_ELEMENTS": _DEFAULT,
        "EKIBEN_KEY_RATE": _DEFAULT,
        "EKIBEN_USER_ID_FROM": "whoever has a gateway that names users sets it",
        "EKIBEN_BODIES_MAX_BYTES": _DEFAULT,
        "EKIBEN_KEEP_ALIVE_S": _DEFAULT,
        "EKIBEN_MAX_CONNECTIONS": _DEFAULT,
        "EKIBEN_LOCAL_CACHE_ENTRIES": _DEFAULT,
        "EKIBEN_EXPOSURES_MAX_BYTES": _DEFAULT,
        "EKIBEN_STATE_DURABLE": "it is checked, unless somebody knows better",
        "EKIBEN_STATE_REPLICAS": "dev has one pod; what a managed Redis has, its owner knows",
        "EKIBEN_LOG_FORMAT": "JSON is the default, and a cluster's log reader wants it",
        "EKIBEN_LOG_LEVEL": _DEFAULT,
        "EKIBEN_ACCESS_LOG_PERCENT": _DEFAULT,
        **_TRACES,
    },
    "controller": {
        "REDIS_URL": _LOOK,
        "EKIBEN_EXPERIMENTS_FILE": _JOB,
        "EKIBEN_CONTROLLER_URL": "read by the Job, which applies the experiments through it",
        "EKIBEN_CACHE_URL": "the controller has nothing to do with the cache",
        "EKIBEN_PANIC_FILE": "the switch is the routers'",
        "EKIBEN_KEEP_ALIVE_S": _DEFAULT,
        "EKIBEN_MAX_CONNECTIONS": _DEFAULT,
        "EKIBEN_ALLOWED_ORIGINS": "only the router lets pages of other sites ask",
        "EKIBEN_EVENTS_URL": "dev: beside the other data, on the volume; prod sets it",
        "EKIBEN_STATE_DURABLE": "it is checked, unless somebody knows better",
        "EKIBEN_EVENTS_DAYS": _DEFAULT,
        "EKIBEN_RECORD_EVERY_S": _DEFAULT,
        "EKIBEN_ANALYSE_EVERY_S": _DEFAULT,
        "EKIBEN_SHUTDOWN_GRACE_S": "its default fits into terminationGracePeriodSeconds",
        "EKIBEN_NOTE": "a line for the dashboard that only a demo needs",
        "EKIBEN_NOTIFY_URL": "nobody is told of acts unless somebody names an address",
        "EKIBEN_NOTIFY_TOKEN": "it goes with that address",
        "EKIBEN_ALLOWED_HOSTS": "it is reached by port-forward only; whoever gives it a host sets this",
        "EKIBEN_TRUSTED_PROXIES": _LOGIN_PROXY,
        "EKIBEN_TRUSTED_USER_HEADER": _LOGIN_PROXY,
        "EKIBEN_ADMINS": _LOGIN_PROXY,
        "EKIBEN_LOG_FORMAT": "JSON is the default, and a cluster's log reader wants it",
        "EKIBEN_LOG_LEVEL": _DEFAULT,
        **_TRACES,
    },
    "version": {
        "EKIBEN_LOG_FORMAT": "JSON is the default, and a cluster's log reader wants it",
        "EKIBEN_LOG_LEVEL": "BentoML has no setting for it",
        "EKIBEN_MAX_ELEMENTS": _DEFAULT,
        **_TRACES,
    },
}
GUIDE = ROOT / "docs" / "kubernetes.md"
# Of the SDK inside pyarrow, which the controller reaches an object store with.
OBJECT_STORE = {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def set_in(manifests: Manifests, component: str) -> set[str]:
    return {name for each in manifests.workloads(component) for name in environment(each.main)}


def bentoml_knows(name: str) -> bool:
    for package in ("bentoml", "_bentoml_sdk", "_bentoml_impl"):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        for path in Path(spec.submodule_search_locations[0]).rglob("*.py"):
            if name in path.read_text(errors="ignore"):
                return True
    return False


@pytest.mark.parametrize("component", PACKAGES)
def test_every_variable_that_is_set_is_read(manifests: Manifests, component: str) -> None:
    read = variables_read(PACKAGES[component], OURS)
    unknown = set_in(manifests, component) - read
    if component == "controller":
        unknown -= OBJECT_STORE
    assert {name for name in unknown if not name.startswith("BENTOML_") or not bentoml_knows(name)} == set()


def test_the_object_stores_variables_are_those_of_the_sdk(prod: Manifests) -> None:
    import pyarrow

    assert set_in(prod, "controller") >= OBJECT_STORE
    (library,) = Path(pyarrow.get_library_dirs()[0]).glob("libarrow.so.*00")
    content = library.read_bytes()
    assert {name for name in OBJECT_STORE if name.encode() not in content} == set()


@pytest.mark.parametrize("component", ["router", "controller"])
def test_every_variable_that_is_read_is_set_or_left_out_for_a_reason(
    manifests: Manifests, component: str
) -> None:
    read = {name for name in variables_read(PACKAGES[component], OURS) if not name.startswith("BENTOML_")}
    left_out = LEFT_OUT[component]
    assert read - set_in(manifests, component) - set(left_out) == set(), "set it, or say here why not"
    assert set(left_out) - read == set(), "nobody reads it any more"


def test_the_router_can_be_run_with_what_it_is_told(manifests: Manifests, tmp_path: Path) -> None:
    told = environment(only(manifests, "router").main)
    settings = router_settings(manifests)
    user_salt(told, tmp_path, settings.host)
    assert settings.host == "0.0.0.0"
    assert not addresses(told, tmp_path).embedded, "it would start to look for a Redis of its own"
    Keys.from_setting(settings.api_keys)


def test_the_controller_can_be_run_with_what_it_is_told(manifests: Manifests, tmp_path: Path) -> None:
    told = environment(only(manifests, "controller").main)
    settings = controller_settings(manifests)
    user_salt(told, tmp_path, settings.host)
    assert settings.host == "0.0.0.0"
    assert settings.state_url == router_settings(manifests).state_url


def test_the_ports_that_are_told_are_the_ports_that_are_opened(manifests: Manifests) -> None:
    assert only(manifests, "router").port("http") == router_settings(manifests).port
    assert only(manifests, "controller").port("http") == controller_settings(manifests).port


def test_what_waits_for_redis_waits_for_the_one_that_is_used(manifests: Manifests) -> None:
    router = only(manifests, "router")
    (waiting,) = router.pod["initContainers"]
    assert environment(waiting)["EKIBEN_STATE_URL"] == router_settings(manifests).state_url


def test_both_redis_are_reached_by_tls_in_production(prod: Manifests) -> None:
    (router,) = prod.workloads("router")
    for variable in router.main["env"]:
        if variable["name"] in ("EKIBEN_CACHE_URL", "EKIBEN_STATE_URL"):
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["name"] == "ekiben-redis"
            # The address is a secret; the guide is where it gets its scheme.
            assert f"--from-literal={reference['key']}='rediss://" in GUIDE.read_text()


def test_files_that_are_told_lie_where_a_volume_is(manifests: Manifests) -> None:
    router, settings = only(manifests, "router"), router_settings(manifests)
    mounts = {each["mountPath"]: each["name"] for each in router.main["volumeMounts"]}
    volumes = {each["name"]: each for each in router.pod["volumes"]}
    # Not a single file of it: that would never change (subPath).
    assert not any("subPath" in each for each in router.main["volumeMounts"])
    panic = volumes[mounts[str(settings.panic_file.parent)]]["configMap"]
    assert panic == {"name": "ekiben-panic", "optional": True}


def test_events_are_where_every_controller_that_may_act_reaches_them(manifests: Manifests) -> None:
    controller, settings = only(manifests, "controller"), controller_settings(manifests)
    grace_s = controller.pod["terminationGracePeriodSeconds"]
    assert grace_s > settings.shutdown_grace_s + 2 * settings.record_every_s
    if settings.events_url.startswith("s3://"):
        assert controller.spec["replicas"] == 2
        return
    folder = Path(settings.events_url)
    mounts = {each["mountPath"]: each["name"] for each in controller.main["volumeMounts"]}
    (name,) = (name for mount, name in mounts.items() if folder.is_relative_to(mount))
    (volume,) = (each for each in controller.pod["volumes"] if each["name"] == name)
    assert "persistentVolumeClaim" in volume, "recorded outcomes are nowhere else"
    assert controller.spec["replicas"] == 1, "a volume belongs to one node"
    assert controller.spec["strategy"] == {"type": "Recreate"}, "the old pod has to let go of it first"


def test_no_variable_of_this_machine_is_needed(manifests: Manifests) -> None:
    assert "EKIBEN_USER_SALT" not in os.environ
    assert router_settings(manifests).state_url
