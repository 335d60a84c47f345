"""Traces by OpenTelemetry: spans that are exported by OTLP, and `traceparent` (W3C Trace Context) in and out.

Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) names a receiver; while off nothing of
OpenTelemetry is imported. Sampling, headers and the rest are set by its own variables, such as
`OTEL_TRACES_SAMPLER`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ekiben.process.environ import BadSetting

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OpenTelemetrySpan

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_MOST_LINKS: Final = 64


def trace_id(traceparent: bytes | None) -> str | None:
    """The trace id (32 hex digits) in a `traceparent` header, None without one."""
    if traceparent is None or len(traceparent) < 55 or traceparent[2:3] != b"-":
        return None
    return traceparent[3:35].decode("ascii", "replace")


class Span:
    """A span that has begun. `traceparent` is what to send on, so that others' spans hang below it."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: OpenTelemetrySpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}".encode()
        )

    def set(self, **attributes: str | int | float | bool | None) -> None:
        """Describe it; dots in names are written as two underscores, None is left out."""
        if self._span.is_recording():
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(name.replace("__", "."), value)

    def end(self, error: str | None = None) -> None:
        """End it, as failed when there is an `error`."""
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end()


class Traces:
    """The spans of one process."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("ekiben")
        self._propagator = TraceContextTextMapPropagator()
        self._kinds = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}

    def begin(self, name: str, kind: str, parents: Sequence[bytes]) -> Span:
        """Begin a span (`server` or `client`) below the first of `parents` (`traceparent` headers).

        One that serves many, as a bulk call does, is linked to each of them (the first 64).
        """
        from opentelemetry.trace import Link, get_current_span

        contexts = [
            self._propagator.extract({"traceparent": parent.decode("ascii", "replace")})
            for parent in parents[:_MOST_LINKS]
        ]
        links = [Link(get_current_span(context).get_span_context()) for context in contexts[1:]]
        span = self._tracer.start_span(
            name, contexts[0] if contexts else None, self._kinds[kind], links=links or None
        )
        return Span(span)

    def close(self) -> None:
        """Export what is left, for a few seconds at most. Blocks."""
        self._provider.force_flush(2_000)
        self._provider.shutdown()


def open_traces(service: str, environ: Mapping[str, str]) -> Traces | None:
    """The traces of a process that calls itself `service`, None when no receiver is named.

    Raises `BadSetting` where one is named and OpenTelemetry's exporter is not installed.
    """
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or not any(environ.get(name) for name in ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise BadSetting(
            f"{ENDPOINTS[1]} asks for traces, and {error.name} is not installed: pip install 'ekiben[traces]'"
        ) from None
    named = environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: named}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)
