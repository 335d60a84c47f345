"""What all model services share: `/bulk`, `/model/info`, and what `/predict` answers."""

from __future__ import annotations

import gc
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import orjson
from bentoml.exceptions import InternalServerError
from bentoml.models import BentoModel
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ekiben.process.bento_logs import use_log_format
from ekiben.process.bento_middleware import answer_bulk_first, bound_paths
from ekiben.process.traces import Traces, open_traces
from ekiben.serving.body import BodyRefused, ClientGone, check_count, parse, read_body, respond
from ekiben.serving.code_digest import code_digest
from ekiben.serving.features import Features, json_schema
from ekiben.serving.guard import Guard
from ekiben.serving.kernel import Kernel, check_fit
from ekiben.serving.measure import PrometheusMeasure, show_training, use_own_directory
from ekiben.serving.models.model import Loader
from ekiben.serving.output import Output
from ekiben.serving.rows import RowChecker
from ekiben.serving.store import LatestModel, ServiceRefused, check
from ekiben.serving.stored import ModelRefused, Stored

# Reasons and measurements: docs/decisions/0012-service-settings.md
SETTINGS: Final[dict[str, Any]] = {
    "workers": 1,
    "traffic": {"timeout": 5},
    "tracing": {"excluded_urls": ".*"},
    "logging": {"access": {"enabled": False}},
}
BATCHING: Final[dict[str, Any]] = {
    "route": "/predict",
    "batchable": True,
    "max_batch_size": 256,
    "max_latency_ms": 10_000,
}

PATHS: Final = frozenset(
    {"/", "/bulk", "/predict", "/model/info", "/docs.json", "/schema.json", "/livez", "/readyz", "/healthz"}
)
"""The paths that metrics know by their name."""


class Door:
    """The way in to one version: made with its module, opened when a worker starts.

    `app` answers `POST /bulk` and `GET /model/info`. Everything runs in the event loop: a call of the model
    takes microseconds, a thread to run it in would take longer.
    """

    def __init__(self, name: str, features: type[Features], output: Output, load: Loader) -> None:
        self.model = LatestModel(name)
        self.load = load
        self.features = features
        self.output = output
        self._bulk_app = _Endpoint(self, self._bulk)
        routes = [
            Route("/bulk", self._bulk_app, methods=["POST"]),
            Route("/model/info", _Endpoint(self, self._info), methods=["GET"]),
        ]
        self.app = Starlette(routes=routes)
        self.model_version = ""
        self._service: Any
        self.kernel: Kernel
        self._traces: Traces | None = None
        self.headers: list[tuple[bytes, bytes]] = []  # of a good answer
        self._info_body = b""

    def attach(self, service: Any) -> None:
        """Tell the door the BentoML service that it is mounted in, and guard that service's `/predict`."""
        self._service = service
        service.add_asgi_middleware(Guard, rows=RowChecker(self.features))
        bound_paths(PATHS)
        answer_bulk_first(service.name, self._bulk_app)
        use_log_format(os.environ)
        use_own_directory(service.name)

    def check(self) -> Stored:
        """The model in the store, every file of it checked. Raises `ModelRefused`."""
        stored = check(self._pinned())
        with _one_line(stored.tag):
            check_fit(stored.card, self.features, self.output)
        return stored

    def _pinned(self) -> BentoModel:
        # On the machine where a Bento was built BentoML serves it with the *latest* model of the store.
        if self._service.bento is not None:
            for packed in self._service.bento.info.all_models:
                if packed.tag.name == self.model.tag.name:
                    return BentoModel(packed.tag)
        return self.model

    def open(self) -> None:
        """Check and load the model; afterwards the door answers. Raises `ModelRefused`."""
        stored = self.check()
        with _one_line(stored.tag):
            self._load(stored)
        self._traces = open_traces(stored.tag.partition(":")[0], os.environ)
        show_training(self.model_version, stored.card)
        # What has been loaded stays: without this a full collection walks through all of it, 56 to 203 ms.
        gc.collect()
        gc.freeze()

    def _load(self, stored: Stored) -> None:
        model = self.load(stored)
        bento = self._service.bento
        code = code_digest(model.runtime, self.features)
        self.model_version = str(bento.tag) if bento is not None else f"{stored.tag}+{code}"
        self.headers = [
            (b"content-type", b"application/json"),
            (b"x-model-version", self.model_version.encode()),
        ]
        self._info_body = orjson.dumps(self._describe(stored))
        measure = PrometheusMeasure(self.model_version, self.output.labels())
        self.kernel = Kernel(model, self.features, self.output, measure)

    def predict(self, instances: Sequence[Features]) -> list[Any]:
        """The predictions for the `instances` of a whole batch, for BentoML's `/predict`.

        Where one has none, the requests that asked for it get 500 and the others of the batch their answers.
        """
        predictions: list[Any] = self.kernel.predict(instances)
        return _Gaps(predictions) if any(each is None for each in predictions) else predictions

    async def _bulk(self, scope: Scope, receive: Receive) -> bytes:
        if self._traces is None:
            return await self._bulk_body(scope, receive)
        span = self._traces.begin("bulk", "server", [v for n, v in scope["headers"] if n == b"traceparent"])
        span.set(ekiben__model_version=self.model_version)
        error: str | None = None
        try:
            return await self._bulk_body(scope, receive)
        except BodyRefused as refused:
            error = refused.detail
            raise
        finally:
            span.end(error)

    async def _bulk_body(self, scope: Scope, receive: Receive) -> bytes:
        data = parse(await read_body(scope, receive))
        if type(data) is not list:
            raise BodyRefused(400, "the body must be an array of feature objects")
        check_count(data)
        return orjson.dumps(self.kernel.answer(data))

    async def _info(self, scope: Scope, receive: Receive) -> bytes:
        return self._info_body

    def _describe(self, stored: Stored) -> dict[str, Any]:
        return {
            **stored.card.said(),
            "model_version": self.model_version,
            "features": json_schema(self.features),
            "output": self.output.as_json(),
        }


@contextmanager
def _one_line(tag: str) -> Iterator[None]:
    try:
        yield
    except ModelRefused as refused:
        raise ServiceRefused(f"{tag}: {refused}") from None


class _Gaps(list[Any]):
    """Predictions of which some are None.

    BentoML slices a batch into what each request asked for. A slice that is an exception is raised for that
    request alone: one with a gap is 500.
    """

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        if isinstance(key, slice) and any(each is None for each in found):
            return InternalServerError("the model has no answer for one of the instances")
        return found


class _Endpoint:
    """One route of a door, as bare ASGI: Starlette's Request and Response cost more than the model."""

    def __init__(self, door: Door, handle: Callable[[Scope, Receive], Awaitable[bytes]]) -> None:
        self._door = door
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._handle(scope, receive)
        except ClientGone:
            return
        except BodyRefused as refused:
            await refused.answer(send, self._door.headers[1:])
        else:
            await respond(send, 200, self._door.headers, body)
