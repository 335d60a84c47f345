"""What every part of the experiments document is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False, json_schema_extra={"unit": "percent"})]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class Part(BaseModel):
    """A part of the document. The text below a field is its description (see `document.py`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)
