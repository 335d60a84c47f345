"""`ekiben up`: Redis, the services, the router and a demo on one machine, and nothing left when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ekiben.clients.document import bench_document, document_in_force, read_document, write_document
from ekiben.clients.routed import until_routed
from ekiben.demo.scenario import fitted_scenario, play, scenario_file
from ekiben.demo.traffic import DEMO_MODEL, HELD_OUT, Shown, run_demos
from ekiben.experiments.document import Document, Model
from ekiben.process.private import private_folder
from ekiben.project.models import read_models
from ekiben.state.embedded import EmbeddedRedis, EmbeddedRedisError, addresses
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.screen import Steps
from ekiben.terminal.settings import Settings
from ekiben.up.addresses import show_addresses, show_curls, show_lines
from ekiben.up.foreign import unanswered
from ekiben.up.launch import (
    Service,
    check_ports,
    service_command,
    service_environment,
    services_of,
)
from ekiben.up.lock import forget_everything, locked
from ekiben.up.processes import Child, Children
from ekiben.up.readiness import Part, until_ready, watched
from ekiben.up.telling import tell_of_file
from ekiben.up.unpublished import train_missing

WORKERS = 2
ROUTER_GRACE_S = 3.0
CONTROLLER_GRACE_S = 4.0
SERVICES_GRACE_S = 4.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    port: int
    controller_port: int = 3100
    once: bool = False
    demo: bool = True
    bench: bool = False
    scenario: str | None = None
    fresh: bool = False


def run(settings: Settings, options: Options, console: Console) -> int:
    """Run it all until Ctrl-C (or, with `once`, until the table) and return the exit code.

    Raises EkibenError. Whichever way it ends, by SIGINT, SIGTERM or SIGHUP too, every process it started has
    ended before it returns.
    """
    return asyncio.run(_until_signal(settings, options, console))


async def _until_signal(settings: Settings, options: Options, console: Console) -> int:
    up = _Up(settings, options, console)
    work = asyncio.create_task(up.run())
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        received.append(number)
        work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        await work
    except asyncio.CancelledError:
        if not received:
            raise
        # Once everything stands, a signal is the ordinary way to end it.
        return 0 if up.stands and not options.once else 128 + received[0]
    return 0


def _all(model: Model) -> Collection[str]:
    return model.versions


def _live(model: Model) -> Collection[str]:
    return (model.live,)


class _Up:
    def __init__(self, settings: Settings, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._file = settings.experiments_file
        # The scenarios are the example's: where its applicants are not, none is played.
        played = options.scenario if HELD_OUT.is_file() else None
        self._scenario = scenario_file(played) if played else None
        # What is measured has a Redis of its own: its weights are not those of the experiment that runs.
        self._data_dir = (settings.data_dir / "bench" if options.bench else settings.data_dir).absolute()
        self._listed = read_models(Path.cwd())
        self._absent: dict[str, str] = {}
        """The services that are not started: name → a line that says why."""
        self.stands = False

    async def run(self) -> None:
        with ExitStack() as undo:
            lock = undo.enter_context(locked(self._data_dir))
            if self._options.fresh or self._options.bench:
                forget_everything(self._data_dir)
            private_folder(self._data_dir / "logs")
            if self._options.bench:
                self._prepare_bench()
            here, _ = services_of(read_document(self._file).document, self._listed)
            self._check_ports(here)
            children = Children(self._data_dir / "logs", lock, self._data_dir)
            undo.callback(children.end)
            shared = self._start_redis(children, undo)
            document = await document_in_force(self._file, shared["EKIBEN_STATE_URL"], self._data_dir)
            fitted = fitted_scenario(self._scenario, document) if self._scenario else None
            services, elsewhere = services_of(fitted[0] if fitted else document, self._listed)
            if services != here:  # Redis is ahead of the file, or the scenario has another version
                self._check_ports(services)
            self._absent |= await train_missing(self._console, children, services, Path.cwd())
            self._absent |= await unanswered(document)
            services = self._present(services)
            async with watched(children):
                routed = [each.name for each in services_of(document, self._listed)[0]]
                services = await self._start(children, undo, services, shared, routed)
                self.stands = True
                shown = await self._demos(document)
                show_addresses(
                    self._console, self._url, self._controller_url, services, elsewhere, self._token_file
                )
                show_lines(self._console, "Not started, everything else is", self._absent.values())
                show_curls(self._console, self._url, {each.model: each.features for each in shown})
                lost = [each.failure for each in shown if each.failure is not None]
                if self._options.once and (failures := [*self._absent.values(), *lost]):
                    raise EkibenError("\n".join(failures))
                for failure in lost:
                    self._console.print(f"\n{failure}")
                if self._controller_url is not None:
                    telling = asyncio.create_task(tell_of_file(self._console, self._controller_url))
                    undo.callback(telling.cancel)
                    name = self._options.scenario
                    if (
                        name is not None
                        and fitted is not None
                        and self._can_play(fitted[0], _all, DEMO_MODEL)
                    ):
                        await play(
                            self._console, self._url, self._controller_url, name, once=self._options.once
                        )
                if self._options.once:
                    return
                self._console.print("\nCtrl-C ends everything.")
                await asyncio.Event().wait()

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._options.port}"

    @property
    def _controller_url(self) -> str | None:
        """None when measuring: the router alone is measured."""
        return None if self._options.bench else f"http://127.0.0.1:{self._options.controller_port}"

    @property
    def _token_file(self) -> Path | None:
        """Where the controller keeps the admin token that it made; None when it made none."""
        made = self._controller_url is not None and not os.environ.get("EKIBEN_ADMIN_TOKEN")
        return self._data_dir / "admin_token" if made else None

    async def _demos(self, document: Document) -> list[Shown]:
        if not self._options.demo or self._options.bench:
            return []
        models = [name for name in document.models if self._can_play(document, _live, name)]
        return await run_demos(self._console, self._url, document, models)

    def _prepare_bench(self) -> None:
        document = bench_document(read_document(self._file).document)
        path = self._data_dir / "experiments.yaml"
        write_document(
            document, path, f"Made by `ekiben up --bench` from {self._file}; overwritten every time."
        )
        self._file = path

    def _check_ports(self, services: Sequence[Service]) -> None:
        wanted = {"the router": (self._options.port, "--port")}
        wanted |= {each.name: (each.port, str(self._file)) for each in services}
        if not self._options.bench:
            wanted["the controller"] = (self._options.controller_port, "EKIBEN_CONTROLLER_PORT")
        check_ports(wanted)

    def _start_redis(self, children: Children, undo: ExitStack) -> Mapping[str, str]:
        """Start the embedded pair unless there is another Redis, and return the environment that router and
        controller share: the addresses, and where everything is.
        """
        try:
            found = addresses(os.environ, self._data_dir)
            if found.embedded:
                redis = EmbeddedRedis(self._data_dir, children.environment())
                redis.start()
                undo.callback(redis.close)
                for name, process in redis.processes.items():
                    children.adopt(Child(f"Redis ({name})", process, redis.log(name)))
        except EmbeddedRedisError as error:
            raise EkibenError(str(error)) from None
        return {
            "EKIBEN_CACHE_URL": found.cache_url,
            "EKIBEN_STATE_URL": found.state_url,
            "EKIBEN_HOST": "127.0.0.1",
            "EKIBEN_DATA_DIR": str(self._data_dir),
            "EKIBEN_EXPERIMENTS_FILE": str(self._file.absolute()),
            "EKIBEN_SHUTDOWN_GRACE_S": "2",
        }

    def _can_play(self, document: Document, versions: Callable[[Model], Collection[str]], model: str) -> bool:
        """Whether none of these versions of the model is one that should run here and does not."""
        wanted = versions(document.models[model]) if model in document.models else ()
        here, _ = services_of(document, self._listed)
        return not any(
            each.model == model and each.version in wanted and each.name in self._absent for each in here
        )

    def _present(self, services: Sequence[Service]) -> list[Service]:
        """Those that are not absent. Raises EkibenError when that leaves nothing of something."""
        present = [each for each in services if each.name not in self._absent]
        if services and not present:
            raise EkibenError("\n".join(self._absent.values()))
        return present

    async def _start(
        self,
        children: Children,
        undo: ExitStack,
        services: Sequence[Service],
        shared: Mapping[str, str],
        routed: Collection[str],
    ) -> list[Service]:
        """Start services, router and controller at the same time, wait until all are ready, and until the
        router reaches each started service of `routed`; return the services that are ready.
        """
        with Steps(self._console) as shown:
            parts = []
            running: dict[str, Child] = {}
            undo.callback(lambda: children.stop(running.values(), SERVICES_GRACE_S))
            for service in services:
                shown.begin(service.name, f"{service.model} {service.version} on port {service.port}")
                more = service_environment(service, os.environ)
                child = children.start(service.name, service_command(service), more, needed=False)
                running[service.name] = child
                parts.append(Part(child, f"{service.url}/readyz"))

            def start(
                name: str, module: str, what: str, more: dict[str, str], url: str, grace_s: float
            ) -> None:
                shown.begin(name, what)
                child = children.start(name, [sys.executable, "-P", "-m", module], {**shared, **more})
                undo.callback(lambda: children.stop([child], grace_s))
                parts.append(Part(child, f"{url}/readyz"))

            port, workers = self._options.port, 1 if self._options.bench else WORKERS
            more = {
                "EKIBEN_PORT": str(port),
                "EKIBEN_WORKERS": str(workers),
                "EKIBEN_DRAIN_S": "0",  # no load balancer has to notice first
            }
            what = f"router on port {port}, workers: {workers}"
            start("router", "router", what, more, self._url, ROUTER_GRACE_S)
            if self._controller_url is not None:
                what = f"controller on port {self._options.controller_port}"
                more = self._controller_environment()
                start("controller", "ekiben.control", what, more, self._controller_url, CONTROLLER_GRACE_S)
            failed = await until_ready(parts, lambda part: shown.done(part.child.name))
            for name, why in failed.items():
                shown.failed(name)
                self._absent[name] = why
            children.stop([running[name] for name in failed], SERVICES_GRACE_S)
            present = self._present(services)
            for service in present:
                running[service.name].needed = True
            reachable = {f"{each.model}/{each.version}" for each in present if each.name in routed}
            await until_routed(self._url, reachable, workers)
        return present

    def _controller_environment(self) -> dict[str, str]:
        port = {"EKIBEN_CONTROLLER_PORT": str(self._options.controller_port)}
        if not self._options.scenario:
            return port
        return port | {
            "EKIBEN_RECORD_EVERY_S": "1",
            "EKIBEN_ANALYSE_EVERY_S": "2",
            "EKIBEN_NOTE": f"Demo ({self._options.scenario}), in fast motion: held-out applicants are "
            "resampled: drawn again and again, each as a new user. What came of a loan is known after "
            "two seconds.",
        }
