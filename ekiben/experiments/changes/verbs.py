"""What people do with an experiment: each verb is one row of `VERBS`.

Whatever offers a verb is made from its row: the admin API and its description, the dashboard's buttons and
forms, the command line. A ramp acts by the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, NamedTuple, Self

from pydantic import Field, ValidationError, create_model, model_validator

from ekiben.experiments.changes.consequences import words_of
from ekiben.experiments.changes.edits import edited, find_experiment, lawful, refusal
from ekiben.experiments.changes.fields import Fields, Treatment, as_they_are, read_values
from ekiben.experiments.document import Document, Experiment, Ramp, RampBegin
from ekiben.experiments.lifecycle import ACTIVE, Status
from ekiben.experiments.problems import DocumentError, from_validation, listed, unknown, word
from ekiben.experiments.reports.report import Decision, Report


class Case(NamedTuple):
    """What a verb is used on, and with what. `report` is the experiment's last one, if there is one."""

    document: Document
    key: str
    body: Any  # of the verb's own `body`
    report: Report | None

    @property
    def experiment(self) -> Experiment:
        """The experiment itself."""
        return self.document.experiments[self.key]

    def edited(self, **update: Any) -> Document:
        """The document with these fields of the experiment replaced."""
        return edited(self.document, self.key, **update)

    def refusal(self, message: str) -> DocumentError:
        """Why the verb cannot do that."""
        return refusal(self.key, message)


@dataclass(frozen=True, slots=True, eq=False)
class Verb:
    """One row: from which statuses the verb can be used, what it is told, what it does, and its words."""

    name: str  # in addresses and on the command line
    title: str  # the button; before an experiment's key the heading of the page that asks
    help: str  # what it does in one line, and after an empty line what else is to be known
    possible: frozenset[Status]
    change: Callable[[Case], Document]
    consequence: str  # what it means for users, with the names of `words_of` in braces
    body: type[Fields] = Fields
    asked_by: frozenset[Decision] = frozenset()  # the verdicts that ask for it
    ends: bool = False  # whether there is no way back
    aside: bool = False  # whether its button stands beside what it changes, and not among the others
    typed: Callable[[Experiment, Report | None], Mapping[str, Any]] = lambda _experiment, _report: {}
    """What the dashboard's form holds at first."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the command line calls a field, where that is not the field's name."""

    def treatments(self, experiment: Experiment) -> tuple[str, ...]:
        """The treatments that it can be used on. The last one is not retired: to end, roll back."""
        _, *names = experiment.variants
        left = tuple(name for name in names if not experiment.variants[name].retired)
        return left if self.ends or len(left) > 1 else ()

    @property
    def treatment(self) -> str | None:
        """The field that names a treatment, where there is one."""
        fields = self.body.model_fields.items()
        return next((name for name, each in fields if Treatment in each.metadata), None)

    def act(
        self, document: Document, key: str, body: Fields | None = None, report: Report | None = None
    ) -> Document:
        """The document after it. Raises DocumentError for what is not possible."""
        status = find_experiment(document, key).status
        if status not in self.possible:
            others = [each.name for each in VERBS.values() if not each.aside and status in each.possible]
            could = f"what can be done is {', '.join(others)}" if others else "that is an end"
            is_now = status.replace("_", " ")
            raise refusal(key, f"is {is_now}, so you cannot use {self.name} on it: {could}")
        return lawful(document, self.change(Case(document, key, body or self.body(), report)))

    def meaning(self, before: Document, after: Document, key: str) -> str:
        """What it means for users that `after` follows `before`."""
        return self.consequence.format_map(words_of(before, after, key))


class Promotion(Fields):
    """The treatment to promote."""

    variant: Annotated[str | None, Treatment] = Field(
        default=None,
        title="Which treatment",
        description="The treatment. It may be left out where there is only one.",
    )


class Retirement(Fields):
    """The treatment to retire."""

    variant: Annotated[str, Treatment] = Field(
        title="Which treatment", description="The treatment whose users get the control's version."
    )


class Acknowledgement(Fields):
    """The redeployments that somebody has looked at."""

    model_versions: tuple[str, ...] = Field(
        default=(),
        title="Redeployments",
        description="The tags to acknowledge, by default all that the last report shows.",
        examples=[("TAG",)],
    )


class Sizing(Fields):
    """The users that the experiment is planned for."""

    planned_users: int = Field(
        ge=100,
        le=10**12,
        title="Planned users",
        description="Users of a treatment and the control together, for which intervals are narrowest.",
        examples=[20_000],
    )


class _Ramping(Fields):
    """The fields of the ramp that change. Those that are left out stay as they are."""

    off: bool = Field(
        default=False, title="End the ramp of", description="Take the ramp away. Coverage stays."
    )

    @model_validator(mode="after")
    def _alone(self) -> Self:
        if self.off and self.model_fields_set & set(Ramp.model_fields):
            raise ValueError("off takes the ramp away: give it alone")
        return self


Ramping: Final = create_model("Ramping", __base__=_Ramping, __doc__=_Ramping.__doc__, **as_they_are(Ramp))
_USUAL_STEPS: Final = (2.0, 10.0, 50.0, 100.0)


def _first_coverage(ramp: Ramp) -> float:
    """The coverage with which an experiment with this ramp starts: 0 where its first step waits."""
    return ramp.steps[0] if ramp.begin is RampBegin.AT_ONCE else 0.0


def _started(case: Case) -> Document:
    ramp = case.experiment.ramp
    coverage = {} if ramp is None else {"coverage": _first_coverage(ramp)}
    return case.edited(status=Status.RUNNING, **coverage)


def _promoted(case: Case) -> Document:
    """A version that becomes live is shadowed no longer. Other active experiments of the model have to end
    before, because they are compared with the version that is live.
    """
    experiment, document = case.experiment, case.document
    version = experiment.variants[_treatment(case)].version
    model = document.models[experiment.model]
    others = [
        other
        for other, each in document.experiments.items()
        if other != case.key and each.model == experiment.model and each.status in ACTIVE
    ]
    if others:
        raise case.refusal(
            f"cannot be promoted beside other active experiments of {word(experiment.model)}: they compare "
            f"with {word(model.live)}, which would not be live any more. End {listed(others)} first (`ekiben "
            f"roll-back {others[0]}`), then promote"
        )
    shadow = {name: percent for name, percent in model.shadow.items() if name != version}
    promoted = model.model_copy(update={"live": version, "shadow": shadow})
    models = {**document.models, experiment.model: promoted}
    return case.edited(status=Status.PROMOTED).model_copy(update={"models": models})


def _retired(case: Case) -> Document:
    """The treatment keeps its share of the users, so that nobody else moves."""
    name, variants = _treatment(case), case.experiment.variants
    if len(VERBS["promote"].treatments(case.experiment)) == 1:
        raise case.refusal(f"has no other treatment than {word(name)}: to end with the control, roll back")
    retired = variants[name].model_copy(update={"retired": True})
    return case.edited(variants={**variants, name: retired})


def _treatment(case: Case) -> str:
    control = next(iter(case.experiment.variants))
    treatments = VERBS["promote"].treatments(case.experiment)
    variant: str | None = case.body.variant
    if variant is None:
        if len(treatments) > 1:
            raise case.refusal(f"has {len(treatments)} treatments: name one of {listed(treatments)}")
        return treatments[0]
    if variant == control:
        raise case.refusal(f"{word(variant)} is the control: to end with it, roll back")
    if variant in case.experiment.variants and variant not in treatments:
        raise case.refusal(f"has retired {word(variant)}")
    if variant not in treatments:
        raise case.refusal(unknown("treatment", variant, treatments))
    return variant


def _ramped(case: Case) -> Document:
    held = case.experiment.ramp
    if case.body.off:
        if held is None:
            raise case.refusal("has no ramp")
        return case.edited(ramp=None)
    named = case.body.model_dump(include=set(Ramp.model_fields), exclude_unset=True)
    try:
        return case.edited(ramp=Ramp.model_validate({**(held.model_dump() if held else {}), **named}))
    except ValidationError as error:
        path = ("experiments", case.key, "ramp")
        raise DocumentError.at(from_validation(Ramp, path, error)) from None


def _ramp_typed(experiment: Experiment, _report: Report | None) -> Mapping[str, Any]:
    ahead = tuple(step for step in _USUAL_STEPS if step >= experiment.coverage)
    return (experiment.ramp or Ramp(steps=ahead or (100.0,))).model_dump()


def _acknowledged(case: Case) -> Document:
    held = case.experiment.acknowledged_model_versions
    named = case.body.model_versions or _unacknowledged(case.experiment, case.report)["model_versions"]
    new = [each for each in dict.fromkeys(named) if each not in held]
    if not new:
        raise case.refusal("has no redeployment that is not acknowledged")
    return case.edited(acknowledged_model_versions=(*held, *new))


def _unacknowledged(experiment: Experiment, report: Report | None) -> Mapping[str, Any]:
    known = experiment.acknowledged_model_versions
    blocking = report.unacknowledged(known) if report is not None else ()
    return {"model_versions": tuple(each.model_version for each in blocking)}


def _sizing_typed(experiment: Experiment, _report: Report | None) -> Mapping[str, Any]:
    return {"planned_users": experiment.planned_users}


_END: Final = "The experiment ends and cannot be started again."
_ROWS: Final = (
    Verb(
        name="start",
        title="Start",
        help="Start a draft: it begins to give users their variants.\n\n"
        "With a ramp it starts at the ramp's first step, or with nobody where that waits for the shadow.",
        possible=frozenset({Status.DRAFT}),
        change=_started,
        consequence="{takes_part} The others get {live}. {ramp}",
    ),
    Verb(
        name="resume",
        title="Resume",
        help="Resume a paused experiment: each user gets the same variant as before.\n\n"
        "A ramp's step begins again.",
        possible=frozenset({Status.PAUSED}),
        change=lambda case: case.edited(status=Status.RUNNING),
        consequence="{takes_part} The others get {live}. {ramp}",
    ),
    Verb(
        name="promote",
        title="Promote",
        help="End an experiment with a treatment: its version becomes live.\n\n"
        "Everyone gets that version, in one change. It is an end: the next comparison is another experiment.",
        possible=ACTIVE,
        change=_promoted,
        consequence="{live_then} becomes the live version of {model} instead of {live}. Everyone gets it. "
        + _END,
        body=Promotion,
        asked_by=frozenset({Decision.PROMOTE}),
        ends=True,
    ),
    Verb(
        name="roll-back",
        title="Roll back",
        help="End an experiment with the control: everyone gets live, within a second.\n\n"
        "It is an end. To send everyone to live for a while use `ekiben pause`, or without a controller "
        "`ekiben panic`.",
        possible=ACTIVE,
        change=lambda case: case.edited(status=Status.ROLLED_BACK),
        consequence="Everyone gets {live} within a second. " + _END,
        asked_by=frozenset({Decision.ROLL_BACK, Decision.NO_DIFFERENCE, Decision.NOT_BETTER, Decision.ENDED}),
        ends=True,
    ),
    Verb(
        name="retire",
        title="Retire",
        help="Retire one treatment of several: its users get live, and the others go on.\n\n"
        "It keeps its share of the users, so that nobody else moves, and it stays retired for the phase. The "
        "last treatment cannot be retired: use `ekiben roll-back`.",
        possible=ACTIVE,
        change=_retired,
        consequence="Its users get {live} within a second. {takes_part}",
        body=Retirement,
        asked_by=frozenset({Decision.RETIRE}),
    ),
    Verb(
        name="pause",
        title="Pause",
        help="Pause an experiment: everyone gets live until it is resumed.\n\n"
        "No user's variant is forgotten. After `ekiben resume` each user has the same one as before.",
        possible=frozenset({Status.RUNNING}),
        change=lambda case: case.edited(status=Status.PAUSED),
        consequence="Everyone gets {live} until it is resumed. No user's variant changes.",
    ),
    Verb(
        name="ramp",
        title="Set the ramp of",
        help="Raise coverage by steps while the guardrails hold.\n\n"
        "A violated guardrail rolls the experiment back within seconds. Options change the ramp that is "
        "there. Without options the command shows where the ramp stands.",
        possible=frozenset({Status.DRAFT, *ACTIVE}),
        change=_ramped,
        consequence="{takes_part} {ramp}",
        body=Ramping,
        aside=True,
        typed=_ramp_typed,
        options={"min_users_per_step": "min-users"},
    ),
    Verb(
        name="plan-for",
        title="Set the planned users of",
        help="Say how many users a draft is planned for: its intervals are narrowest there.\n\n"
        "`ekiben plan EXPERIMENT --effect 5% --write` does that with the users of the plan. It is fixed once "
        "the experiment runs.",
        possible=frozenset({Status.DRAFT}),
        change=lambda case: case.edited(planned_users=case.body.planned_users),
        consequence="No user's variant changes. Intervals will be narrowest at the planned users.",
        body=Sizing,
        aside=True,
        typed=_sizing_typed,
    ),
    Verb(
        name="acknowledge",
        title="Acknowledge the redeployment of",
        help="Say that a redeployment in the middle of an experiment is harmless: it blocks the verdict no "
        "longer.\n\nWithout --model-version these are all that the last report shows.",
        possible=frozenset(Status),
        change=_acknowledged,
        consequence="These redeployments block the verdict no longer.",
        body=Acknowledgement,
        aside=True,
        typed=_unacknowledged,
        options={"model_versions": "model-version"},
    ),
)

VERBS: Final[Mapping[str, Verb]] = {verb.name: verb for verb in _ROWS}


def act(name: str, document: Document, key: str, report: Report | None = None, **fields: Any) -> Document:
    """The document after the verb of that name. Raises DocumentError."""
    verb = VERBS[name]
    return verb.act(document, key, read_values(verb.body, fields), report)
