"""The files that a torch module is published as: its weights, and what else rebuilds it."""

from __future__ import annotations

from typing import Final

WEIGHTS_FILE: Final = "model.safetensors"
SHAPE_FILE: Final = "model.json"
