"""credit's ONNX for the peers that are no BentoML: the same file, the same check of the fields, the same answer.

It is what `ekiben/serving/models/onnx_model.py` and `services/credit/schema.py` do, without the BentoML that those need.
The folder of the model in BentoML's store is in CREDIT_MODEL, the column of the scores in CREDIT_COLUMN.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from pydantic import TypeAdapter

from services.credit.schema import Applicant, answers

_APPLICANT = TypeAdapter(Applicant)
_TEXT = "tensor(string)"


class Credit:
    """A loaded version."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = os.path.join(os.environ["CREDIT_MODEL"], "model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._column = int(os.environ["CREDIT_COLUMN"])
        declared = self._session.get_inputs()
        self._numbers = [each.name for each in declared if each.type != _TEXT]
        self._texts = [each.name for each in declared if each.type == _TEXT]

    def answer(self, applicants: Sequence[Any]) -> list[dict[str, Any]]:
        """The answers for applicants as they come from JSON. Raises ValueError for an invalid one."""
        rows = [_APPLICANT.validate_python(applicant).__dict__ for applicant in applicants]
        table = np.array([[row[name] for name in self._numbers] for row in rows], dtype=np.float32)
        columns = np.ascontiguousarray(table.T)
        feed: dict[str, Any] = {
            name: column.reshape(-1, 1) for name, column in zip(self._numbers, columns, strict=True)
        }
        for name in self._texts:
            feed[name] = np.array([row[name] or "" for row in rows], dtype=object).reshape(-1, 1)
        scores = self._session.run(["probabilities"], feed)[0]
        return answers(scores[:, self._column].astype(np.float64))
