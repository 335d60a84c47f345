"""Plans, of experiments and of models that have none yet: from the last report, else from live's history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ekiben.control.api.problems import BadRequest, NotFound
from ekiben.control.desk import Desk
from ekiben.experiments.document import Experiment
from ekiben.experiments.judging.plan_inputs import BadPlan, Wish, imagined, needed
from ekiben.experiments.judging.planning import make_plan
from ekiben.experiments.judging.plans import SamplePlan
from ekiben.experiments.reports.history import History, history_of

HistoryOf = Callable[[Experiment, str, float], History]
"""What is known of live's users without a report (`ekiben.control.analysis.history`): it reads files."""


class Plans:
    """Makes plans. The methods raise `BadRequest`, and what reading event files raises."""

    def __init__(self, desk: Desk, history: HistoryOf) -> None:
        self._desk = desk
        self._history = history

    async def plan(self, key: str, experiment: Experiment, wish: Wish) -> SamplePlan:
        """The plan of an experiment."""
        known = history_of(self._desk.reports.get(key))
        unknown = needed(experiment) - set(known.metrics)
        if unknown or (known.users_per_day is None and wish.users_per_day is None):
            known = known.with_more(await self._live(experiment))
        return await _planned(key, experiment, known, wish)

    async def plan_model(self, model: str, metric: str, wish: Wish) -> SamplePlan:
        """The plan of an experiment that does not exist. Raises `NotFound` for an unknown model too."""
        stored = self._desk.stored
        if stored is None or model not in stored.document.models:
            raise NotFound(f"there is no model {model!r}")
        document = stored.document
        try:
            experiment = imagined(model, document.models[model].live, metric, document.experiments.values())
        except BadPlan as error:
            raise BadRequest(str(error)) from None
        return await _planned(None, experiment, await self._live(experiment), wish)

    async def _live(self, experiment: Experiment) -> History:
        stored = self._desk.stored
        assert stored is not None
        live = stored.document.models[experiment.model].live
        return await asyncio.to_thread(self._history, experiment, live, self._desk.clock())


async def _planned(key: str | None, experiment: Experiment, known: History, wish: Wish) -> SamplePlan:
    try:
        return await asyncio.to_thread(make_plan, key, experiment, known, wish)
    except BadPlan as error:
        raise BadRequest(str(error)) from None
