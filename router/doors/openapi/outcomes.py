"""`POST /outcomes` in the API's description: the operation and its bodies."""

from __future__ import annotations

from typing import Any, Final

from ekiben.state.outcomes import MAX_ID_CHARS, MAX_NAME_CHARS, MAX_VALUE
from ekiben.state.user import MAX_USER_ID_CHARS
from router.doors.outcomes import MAX_OUTCOMES

_JSON: Final = "application/json"


def _text(description: str, most: int) -> dict[str, Any]:
    return {"type": "string", "description": description, "minLength": 1, "maxLength": most}


_WHOSE: Final = {
    "prediction_id": _text("The prediction that it is the outcome of", MAX_ID_CHARS),
    "user_id": _text("The user that it is of, where it belongs to no single prediction", MAX_USER_ID_CHARS),
}
_REST: Final = {
    "name": _text("What was observed: metrics ask for outcomes by this name", MAX_NAME_CHARS),
    "value": {"type": "number", "description": "Finite", "minimum": -MAX_VALUE, "maximum": MAX_VALUE},
    "at": {
        "type": "string",
        "format": "date-time",
        "description": "When, as RFC 3339 has it; not more than 5 minutes ahead. Now, unless given",
    },
    "id": _text(
        "Of two outcomes with one id the first counts. With it a request can be sent again after any "
        "failure. Each API key has ids of its own; without keys they are the installation's",
        MAX_ID_CHARS,
    ),
}

OUTCOME_SCHEMAS: Final[dict[str, Any]] = {
    "Outcome": {
        "type": "object",
        "properties": _WHOSE | _REST,
        "required": ["name", "value"],
        "oneOf": [{"required": ["prediction_id"]}, {"required": ["user_id"]}],
        "additionalProperties": False,
    },
    "OutcomesRequest": {
        "type": "object",
        "properties": {
            "outcomes": {
                "type": "array",
                "description": f"At most {MAX_OUTCOMES:,}",
                "items": {"$ref": "#/components/schemas/Outcome"},
                "maxItems": MAX_OUTCOMES,
            }
        },
        "required": ["outcomes"],
        "additionalProperties": False,
    },
    "OutcomesAccepted": {
        "type": "object",
        "properties": {
            "accepted": {
                "type": "integer",
                "description": "How many were taken: all of them",
                "minimum": 0,
            },
            "request_id": {"type": "string", "description": "The request's id, taken or made"},
        },
        "required": ["accepted", "request_id"],
        "additionalProperties": False,
    },
}

OUTCOMES: Final = {
    "post": {
        "tags": ["Outcomes"],
        "operationId": "sendOutcomes",
        "summary": "Tell what happened afterwards",
        "description": (
            "All of the outcomes are taken, or none. 202 says that the state Redis has them on disk, and so "
            "many of its replicas as EKIBEN_STATE_REPLICAS asks for. After a 503, or without an answer, they "
            "may be there or not: send them again, with the same ids, and each counts once. The 503 says why "
            "where Redis has refused them or would lose them."
        ),
        "parameters": [
            {
                "name": "X-Request-ID",
                "in": "header",
                "description": "An id of your own for this request",
                "schema": {"type": "string"},
                "example": "outcomes-7f3a",
            }
        ],
        "requestBody": {
            "required": True,
            "description": "At most 1 MiB, unless the router is set otherwise, and 40,000 elements (commas, "
            "colons and opening brackets); strict JSON, and its Content-Type says so.",
            "content": {
                _JSON: {
                    "schema": {"$ref": "#/components/schemas/OutcomesRequest"},
                    "example": {
                        "outcomes": [
                            {
                                "prediction_id": "019b2f5d7a3e7c419d0e52b8a6f13c77",
                                "name": "profit",
                                "value": 12.5,
                                "at": "2026-11-21T10:00:00Z",
                                "id": "loan-4711-profit",
                            }
                        ]
                    },
                }
            },
        },
        "responses": {
            "202": {
                "description": "They are on disk",
                "headers": {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}},
                "content": {
                    _JSON: {
                        "schema": {"$ref": "#/components/schemas/OutcomesAccepted"},
                        "example": {"accepted": 1, "request_id": "outcomes-7f3a"},
                    }
                },
            },
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status in (400, 401, 403, 408, 413, 415, 421, 429, 500, 503)
            },
        },
    }
}
