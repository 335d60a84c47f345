"""The whole of it in containers: three versions, the router, the controller, and Redis beside them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from ekiben.building.images.engine import Buildah
from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.state.documents.document import open_store
from tests.deploy.manifests import KUBERNETES, Workload, render
from tests.images.bundle import specification
from tests.images.containers import Container, Images
from tests.images.network import HOST, STATE, Network
from tests.redis_server import RedisServer

VERSIONS: Final = ("v1", "v2", "v3")
_NAMES: Final = {HOST: "ekiben-redis-cache", STATE: "ekiben-redis-state"}
_PATIENCE_S: Final = 120.0


def until(what: Callable[[], Any], of: Container | None = None, within_s: float = _PATIENCE_S) -> Any:
    """Wait until `what` is true and return it; a container that ended meanwhile fails with its last words."""
    deadline = time.monotonic() + within_s
    while not (found := what()):
        words = "" if of is None else of.log.read_text()[-3000:]
        assert of is None or of.exit_code is None, words
        assert time.monotonic() < deadline, f"it never came true\n{words}"
        time.sleep(0.05)
    return found


class Station:
    """Starts containers as the overlay `dev` describes them. Used within `running`."""

    def __init__(self, folder: Path, engine: Buildah, network: Network) -> None:
        self.images = Images(engine)
        self.containers: dict[str, Container] = {}
        self._folder = folder
        self._network = network
        self._manifests = render(KUBERNETES / "overlays" / "dev")
        self._hosts = dict(_NAMES)
        self._started = 0

    def workload(self, name: str) -> Workload:
        """The Deployment of that name: credit-v1, ekiben-router, …"""
        (found,) = (each for each in self._manifests.workloads() if each.name == name)
        return found

    def start(
        self,
        name: str,
        files: Mapping[str, Path] | None = None,
        container: Mapping[str, Any] | None = None,
    ) -> Container:
        """Start a container of a Deployment and give others its name, if it is the first of that name."""
        workload = self.workload(name)
        address, namespace = self._network.join()
        self._started += 1
        folder = self._folder / f"{name}-{self._started}"
        self._hosts.setdefault(address, name if name not in self._hosts.values() else f"{name}-more")
        image = str((container or workload.main)["image"])
        mounted = {"/etc/hosts": self._write_hosts(), **(files or {})}
        described = self.images.configuration(image)
        made = specification(
            workload,
            described,
            self.images.root(image),
            namespace,
            mounted,
            folder / "disks",
            container=container,
        )
        one = Container(folder.name, folder, made, address)
        one.start()
        self.containers.setdefault(folder.name, one)
        return one

    def start_router(self) -> Container:
        """Start the router, with a folder for the panic switch."""
        (self._folder / "panic").mkdir(exist_ok=True)
        return self.start("ekiben-router", {"/etc/ekiben/panic": self._folder / "panic"})

    def ready(self, container: Container, port: int = 3000) -> Container:
        """The container, once its `/readyz` answers 200."""

        def is_ready() -> bool:
            answer = container.get("/readyz", port)
            return answer is not None and answer.status_code == 200

        until(is_ready, container)
        return container

    def close(self) -> None:
        """End every container and unmount the images."""
        for container in self.containers.values():
            container.close()
        self.images.close()

    def _write_hosts(self) -> Path:
        path = self._folder / "hosts"
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for address, name in self._hosts.items())]
        path.write_text("\n".join(lines) + "\n")
        return path


def _document() -> Document:
    """The manifests' experiments, with three versions that serve a third of the users each."""
    data = yaml.safe_load((KUBERNETES / "base" / "experiments.yaml").read_text())
    (experiment,) = data["experiments"].values()
    experiment["coverage"] = 100
    experiment["variants"] = {
        name: {"version": name, "weight": weight} for name, weight in zip(VERSIONS, (34, 33, 33), strict=True)
    }
    for model in data["models"].values():
        model["timeout_ms"] = 5000  # a shared machine may be slow: who answers is the question here
    return parse_document(data)


async def _seed(url: str) -> None:
    """Put the experiments there, as the Job of the manifests does through the controller."""
    store = open_store(url)
    try:
        await store.change(None, _document(), who="tests", why="the first experiments")
    finally:
        await store.close()


@contextmanager
def redis_pair(folder: Path) -> Iterator[None]:
    """The two Redis of the manifests, on this machine, where the containers reach them."""
    servers = [
        RedisServer(folder, name, "--port", "6379", "--bind", address, "--protected-mode", "no", *options)
        for name, address, options in (
            ("cache", HOST, ("--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru")),
            ("state", STATE, ("--appendonly", "yes", "--appendfsync", "always")),
        )
    ]
    try:
        for server in servers:
            asyncio.run(server.start())
        asyncio.run(_seed(servers[1].url))
        yield
    finally:
        for server in servers:
            server.kill()
