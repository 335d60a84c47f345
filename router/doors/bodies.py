"""The bodies of requests and answers. Pages answer with them, and the API's description shows them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from ekiben.state.documents.applying import FileState
from ekiben.state.outcomes import MAX_ID_CHARS, MAX_NAME_CHARS, MAX_VALUE
from ekiben.state.user import MAX_USER_ID_CHARS
from router.doors.envelope import MAX_ATTRIBUTE_NAME_CHARS, MAX_ATTRIBUTE_TEXT_CHARS, MAX_ATTRIBUTES
from router.http.problems import Body, RequestId, about

MAX_OUTCOMES: Final = 1000

ModelName = Annotated[str, about("The model's name")]
Live = Annotated[str, about("The version that serves everyone outside experiments")]
Running = Annotated[str | None, about("The running experiment, null without one")]
Variant = Annotated[str | None, about("The user's variant, null outside an experiment")]

Features = Annotated[
    dict[str, Any],
    about(
        "What the model service takes. The router interprets nothing in it. `GET /models/{model}` has "
        "its schema."
    ),
]
Asker = Annotated[
    str,
    about("Who the prediction is for. It wins over `X-User-ID`, unless that alone is trusted."),
    Meta(min_length=1, max_length=MAX_USER_ID_CHARS),
]
Attributes = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=MAX_ATTRIBUTE_NAME_CHARS)],
        Annotated[str, Meta(max_length=MAX_ATTRIBUTE_TEXT_CHARS)] | float | bool | None,
    ],
    about("What is known of the user, for experiments that not everybody takes part in. It is flat."),
    Meta(max_length=MAX_ATTRIBUTES),
]
Pinned = Annotated[
    str,
    about(
        "The version that is to answer, and no other. The request is then in no experiment, and live does "
        "not answer in its place."
    ),
]
FallbackFrom = Annotated[str, about("The assigned version, where it failed and live answered")]

OfPrediction = Annotated[
    str, about("The prediction that it is the outcome of"), Meta(min_length=1, max_length=MAX_ID_CHARS)
]
OfUser = Annotated[
    str,
    about("The user that it is of, where it belongs to no single prediction"),
    Meta(min_length=1, max_length=MAX_USER_ID_CHARS),
]
At = Annotated[
    str, about("When, as RFC 3339 has it, and not more than 5 minutes ahead. Now, unless given.", "date-time")
]
OutcomeId = Annotated[
    str,
    about(
        "Of two outcomes with one id the first counts. With it a request can be sent again after any "
        "failure. Each API key has ids of its own. Without keys they are the installation's."
    ),
    Meta(min_length=1, max_length=MAX_ID_CHARS),
]
# What the fields of an outcome cannot say: it is a prediction's or a user's.
_OF_EITHER = Meta(extra_json_schema={"oneOf": [{"required": ["prediction_id"]}, {"required": ["user_id"]}]})


class PredictionRequest(Body):
    """A row to predict for."""

    features: Features
    user_id: Asker | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    version: Pinned | UnsetType = UNSET


class Prediction(Body, gc=False):
    """The answer to a row."""

    prediction: Annotated[
        Raw,
        about(
            "The model service's own answer: an object, or what else a service that is not Ekiben's answers"
        ),
        Meta(extra_json_schema={"type": ["object", "array", "string", "number", "boolean"]}),
    ]
    model: ModelName
    version: Annotated[str, about("The version that answered")]
    model_version: Annotated[str, about("The exact tag of what answered")]
    experiment: Annotated[str | None, about("The experiment that the user takes part in, null outside")]
    variant: Variant
    prediction_id: Annotated[str, about("Unique. Outcomes name it.")]
    request_id: RequestId
    cached: Annotated[bool, about("Whether the answer was known already")]
    fallback_from: FallbackFrom | UnsetType = UNSET


class Outcome(Body):
    """What happened after a prediction, or to a user. It names one of the two."""

    name: Annotated[
        str,
        about("What was observed: metrics ask for outcomes by this name"),
        Meta(min_length=1, max_length=MAX_NAME_CHARS),
    ]
    value: Annotated[float, about("Finite"), Meta(ge=-MAX_VALUE, le=MAX_VALUE)]
    prediction_id: OfPrediction | UnsetType = UNSET
    user_id: OfUser | UnsetType = UNSET
    at: At | UnsetType = UNSET
    id: OutcomeId | UnsetType = UNSET


class OutcomesRequest(Body):
    """What happened."""

    outcomes: Annotated[
        list[Annotated[Outcome, _OF_EITHER]],
        about(f"At most {MAX_OUTCOMES:,}"),
        Meta(max_length=MAX_OUTCOMES),
    ]


class OutcomesAccepted(Body):
    """The outcomes are stored."""

    accepted: Annotated[int, about("How many were taken: all of them"), Meta(ge=0)]
    request_id: RequestId


class ModelSummary(Body):
    """A model, in short."""

    name: ModelName
    live: Live
    versions: Annotated[list[str], about("Its versions")]
    experiment: Running


class Models(Body):
    """Every model."""

    models: list[ModelSummary]


class Endpoint(Body, kw_only=True):
    """`url` and `last_error` are for those who give a key, or reach a router on loopback."""

    url: Annotated[str, about("Where it is", "uri")] | UnsetType = UNSET
    healthy: Annotated[bool, about("It was reached and may be called")]
    breaker: Annotated[
        Literal["closed", "returning", "trial", "open"],
        about("Whether calls go there: all, a growing share, one on trial, none"),
    ]
    calls_in_flight: Annotated[int, about("Of the worker that answers"), Meta(ge=0)]
    last_error: Annotated[str | None, about("Why it failed last")] | UnsetType = UNSET


class Version(Body):
    """A version of a model."""

    info: Annotated[dict[str, Any] | None, about("The service's `/model/info`, null before it was reached")]
    endpoints: list[Endpoint]


class Model(Body):
    """One model."""

    name: ModelName
    live: Live
    experiment: Running
    versions: Annotated[dict[str, Version], about("By version")]


class Assignment(Body):
    """What an experiment does with a user."""

    experiment: Annotated[str, about("The experiment's key")]
    in_experiment: Annotated[bool, about("Whether the user takes part")]
    variant: Variant
    version: Annotated[str, about("The version that serves the user")]
    bucket: Annotated[Annotated[int, Meta(ge=0, le=9999)] | None, about("Where the user's hash falls")]
    reason: Annotated[
        Literal["status", "override", "namespace", "range", "retired", "none"], about("What decided")
    ]


class Status(Body):
    """A probe's answer."""

    status: Literal["alive", "ready"]


class ExperimentsFile(Body):
    """How the experiments file stands, where this router looks after it."""

    file: Annotated[str, about("Its path")]
    state: FileState
    since: Annotated[float, about("In seconds since 1970")]
    lines: Annotated[tuple[str, ...], about("Why")]


class State(Body):
    """Whether the state Redis keeps what it confirms."""

    durable: Annotated[bool | None, about("null: not known yet")]
    reason: Annotated[str | None, about("Why it would lose what it confirms, and what to set")]
    not_read: Annotated[str | None, about("What the server does not say")]
    setting: Annotated[str, about("EKIBEN_STATE_DURABLE")]


class Health(Body):
    """A worker, and the state of each thing that it depends on."""

    live: Annotated[bool, about("The process runs")]
    ready: Annotated[bool, about("It has experiments to route by and is not stopping")]
    draining: Annotated[bool, about("It is stopping")]
    panic: Annotated[list[str], about("Models that the panic switch sends to live, `*` for all of them")]
    revision: Annotated[int | None, about("Of the experiments that it routes by")]
    lineage: Annotated[str | None, about("The history that the revision belongs to")]
    experiments_trouble: Annotated[str | None, about("Why they are not those that Redis holds")]
    experiments_file: Annotated[ExperimentsFile | None, about("Null where no router looks after a file")]
    not_run: Annotated[
        dict[str, str], about("Experiments of a newer release, which this one does not run, and why")
    ]
    dependencies: Annotated[
        dict[str, Literal["up", "down"]], about("Each Redis, and each version as `model/version`")
    ]
    state: State | None
