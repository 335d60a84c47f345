"""How does a trained model become a published version? Checks, files, metrics, the gate.

    from ekiben.publishing import ModelCard, publish_sklearn

What publishes is imported when it is asked for: nobody waits for a library that their model does not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ekiben.publishing.card import ModelCard as ModelCard
from ekiben.publishing.errors import PublishingError as PublishingError

if TYPE_CHECKING:
    from ekiben.publishing.boosters import publish_lightgbm as publish_lightgbm
    from ekiben.publishing.boosters import publish_xgboost as publish_xgboost
    from ekiben.publishing.onnx_files import publish_onnx as publish_onnx
    from ekiben.publishing.sklearn_models import publish_sklearn as publish_sklearn
    from ekiben.publishing.store import Published as Published
    from ekiben.publishing.store import frame_digest as frame_digest
    from ekiben.publishing.torch_models import publish_torch as publish_torch

_IN: Final = {
    "Published": "store",
    "frame_digest": "store",
    "publish_lightgbm": "boosters",
    "publish_onnx": "onnx_files",
    "publish_sklearn": "sklearn_models",
    "publish_torch": "torch_models",
    "publish_xgboost": "boosters",
}


def __getattr__(name: str) -> Any:
    if name not in _IN:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(import_module(f"{__name__}.{_IN[name]}"), name)
