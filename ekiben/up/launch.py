"""What `ekiben up` has to start for a document: a service for each endpoint on this machine."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ekiben.experiments.document import Document
from ekiben.process.http.names import is_loopback
from ekiben.project.models import Listed, module_file, service_of
from ekiben.project.names import stored_name
from ekiben.terminal.errors import EkibenError


@dataclass(frozen=True, slots=True)
class Service:
    """One model service to start: `name` is model, version and, after the first, the endpoint's number, and
    `served` the name of the BentoML service in `module`.
    """

    name: str
    model: str
    version: str
    module: str
    served: str
    port: int
    workers: int

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def stored_model(self) -> str:
        """The name of its model in the BentoML store."""
        return stored_name(self.model, self.version)


def services_of(document: Document, listed: Listed) -> tuple[list[Service], list[str]]:
    """Return the services to start, and the endpoints that are taken as running elsewhere.

    Started is what has a loopback endpoint, no dialect, and a place in the list of models.
    """
    here: list[Service] = []
    elsewhere: list[str] = []
    for model, its in document.models.items():
        for version, one in its.versions.items():
            known = listed[model].versions.get(version) if model in listed and one.dialect is None else None
            for number, endpoint in enumerate(one.endpoints, start=1):
                parts = urlsplit(endpoint)
                port = parts.port or (443 if parts.scheme == "https" else 80)
                if known is not None and parts.scheme == "http" and is_loopback(parts.hostname or ""):
                    name = stored_name(model, version) + ("" if number == 1 else f"-{number}")
                    module, served = service_of(model, version, known)
                    here.append(Service(name, model, version, module, served, port, one.workers))
                else:
                    elsewhere.append(endpoint)
    # One endpoint may stand behind two models: the demo's is over the versions of another.
    started = {each.url for each in here}
    return here, [each for each in dict.fromkeys(elsewhere) if each not in started]


def service_command(service: Service) -> list[str]:
    """The command that serves it, on loopback only (BentoML's own default is every interface)."""
    target = f"{service.module}:{service.served}"
    return [
        *(sys.executable, "-P", "-m", "bentoml", "serve", target),
        *("--host", "127.0.0.1", "--port", str(service.port)),
    ]  # fmt: skip


def service_environment(service: Service, environ: Mapping[str, str]) -> dict[str, str]:
    """What its process needs in its environment: as many workers as the document says, no usage reports."""
    more = {"BENTOML_DO_NOT_TRACK": "true"}
    if service.workers != 1:
        workers = f"services.{service.stored_model}.workers={service.workers}"
        more["BENTOML_CONFIG_OPTIONS"] = f"{environ.get('BENTOML_CONFIG_OPTIONS', '')} {workers}".strip()
    return more


def bentoml_home(environ: Mapping[str, str]) -> Path:
    """BentoML's folder, where its store of models is."""
    return Path(environ.get("BENTOML_HOME") or Path.home() / "bentoml").resolve()


def without_model(services: Iterable[Service], root: Path, environ: Mapping[str, str]) -> list[Service]:
    """Return those whose model is not in the store, each version once.

    A module that does not name the model ("credit_v2") brings its own. The store is looked at as the folder
    it is: asking BentoML takes 0.8 s.
    """
    models = bentoml_home(environ) / "models"
    missing = {}
    for each in services:
        source = module_file(root, each.module).read_text(encoding="utf-8")
        named = re.search(rf"""["']{each.stored_model}[:"']""", source)
        if named and not (models / each.stored_model / "latest").is_file():
            missing[each.module] = each
    return list(missing.values())


def check_ports(wanted: Mapping[str, tuple[int, str]]) -> None:
    """Raise EkibenError when somebody else listens on one of the ports, or two of us would.

    `wanted` is name → port, and what to change when it is taken.
    """
    seen: dict[int, str] = {}
    for name, (port, where) in wanted.items():
        if port in seen:
            raise EkibenError(f"{seen[port]} and {name} both want port {port}: give one another in {where}")
        seen[port] = name
        with socket.socket() as probe:
            # As servers do, so that a port whose connections only linger counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                probe.listen()
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                why = "is taken" if taken else f"cannot be used ({os.strerror(error.errno or 0)})"
                raise EkibenError(
                    f"port {port}, wanted by {name}, {why}: end what listens there, "
                    f"or give {name} another in {where}"
                ) from None
