"""How a published version is loaded: what its metadata says that it is served as decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ekiben.serving.models.model import Model
from ekiben.serving.stored import ModelRefused, Stored


# Each is imported when it is needed: a service has installed what its own version runs on.
def _onnx(stored: Stored) -> Model:
    from ekiben.serving.models.onnx_model import load_onnx

    return load_onnx(stored)


def _skops(stored: Stored) -> Model:
    from ekiben.serving.models.skops_model import load_skops

    return load_skops(stored)


_LOADERS: Final[Mapping[str, Callable[[Stored], Model]]] = {"onnx": _onnx, "skops": _skops}


def load_published(stored: Stored) -> Model:
    """Load a version as it was published to be served. Raises `ModelRefused`."""
    served_as = stored.card.served_as
    name = (served_as.split() or [""])[0]
    if name not in _LOADERS:
        raise ModelRefused(
            f"it is served as {served_as}, and only {' and '.join(_LOADERS)} load by themselves: "
            "give version(…) a load=… (docs/own-model.md)"
        )
    try:
        return _LOADERS[name](stored)
    except ImportError as error:
        raise ModelRefused(
            f"it is served as {served_as}, which needs {error.name or error}: install it where it is served"
        ) from None
