"""Which settings a sweep tries next, and which run is hopeless: optuna's samplers and pruners, fed from the store.

A study lives only as long as a question: it is made anew from what the trials before found, with a seed that follows
from the sweep's seed and the number of trials. So a restarted process goes on as if nothing had happened, and optuna
needs no storage of its own. Tried settings are never drawn twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.sweep_spec import SETTINGS, SweepSpec, as_setting, grid_values, planned_trials

if TYPE_CHECKING:
    import optuna

MOST_DRAWS = 50
"""How often settings are drawn before they count as all tried."""
HALVING_FACTOR = 3

Outcome = Literal["open", "done", "pruned", "failed"]


@dataclass(frozen=True)
class Tries:
    """What the search knows of a trial."""

    settings: dict[str, Any]
    outcome: Outcome
    figures: tuple[float, ...] = ()
    """The validation figure at each evaluation, the first one first."""


def next_settings(plan: SweepSpec, greater_is_better: bool, tried: Sequence[Tries]) -> dict[str, Any] | None:
    """Settings for the trial after these; None where there is nothing more to try. The same question, same answer."""
    if len(tried) >= planned_trials(plan):
        return None
    seen = {_mark(one.settings) for one in tried}
    for draw in range(MOST_DRAWS):
        drawn = _drawn(plan, greater_is_better, tried, plan.seed + MOST_DRAWS * len(tried) + draw)
        if _mark(drawn) not in seen:
            return drawn
        if plan.search == "grid":
            break
    return None


def is_hopeless(plan: SweepSpec, greater_is_better: bool, tried: Sequence[Tries], number: int) -> bool:
    """Whether trial `number` is to be stopped after its last evaluation, judged by all the others."""
    if plan.prune == "none" or not tried[number].figures:
        return False
    optuna = _optuna()
    pruner: Any = (
        optuna.pruners.MedianPruner(n_startup_trials=plan.prune_after)
        if plan.prune == "median"
        else optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=HALVING_FACTOR)
    )
    study = optuna.create_study(
        direction=_direction(greater_is_better), pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    asked = [study.ask() for _ in tried]
    verdict = False
    # The others first, those that have ended before those that run; what each of them had reached counts.
    order = sorted(range(len(tried)), key=lambda place: (place == number, tried[place].outcome == "open", place))
    for place in order:
        trial, figures = asked[place], tried[place].figures
        for evaluation, figure in enumerate(figures, start=1):
            trial.report(figure, evaluation)
            verdict = trial.should_prune()
        if tried[place].outcome == "done" and figures and place != number:
            study.tell(trial, best_figure(figures, greater_is_better))
    return verdict


def best_figure(figures: Sequence[float], greater_is_better: bool) -> float:
    return max(figures) if greater_is_better else min(figures)


def _drawn(plan: SweepSpec, greater_is_better: bool, tried: Sequence[Tries], seed: int) -> dict[str, Any]:
    optuna = _optuna()
    ranges = {key: _distribution(plan, key) for key in plan.fields}
    if plan.search == "grid":
        grid = {key: grid_values(key, values, plan.points) for key, values in plan.fields.items()}
        sampler: Any = optuna.samplers.GridSampler(grid, seed=plan.seed)
    elif plan.search == "random":
        sampler = optuna.samplers.RandomSampler(seed=seed)
    else:
        # Half by chance first: with less to go by the estimate is worse than chance.
        by_chance = min(10, max(3, planned_trials(plan) // 2))
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=by_chance)
    study = optuna.create_study(direction=_direction(greater_is_better), sampler=sampler)
    for one in tried:
        study.add_trial(_told(one, ranges, greater_is_better))
    drawn = study.ask(ranges).params
    return {key: value if plan.fields[key].values else as_setting(key, value) for key, value in drawn.items()}


def _told(one: Tries, ranges: dict[str, Any], greater_is_better: bool) -> "optuna.trial.FrozenTrial":
    optuna = _optuna()
    states = {
        "open": optuna.trial.TrialState.RUNNING,
        "done": optuna.trial.TrialState.COMPLETE if one.figures else optuna.trial.TrialState.FAIL,
        "pruned": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
    }
    state = states[one.outcome]
    return optuna.trial.create_trial(
        state=state,
        params=one.settings,
        distributions=ranges,
        value=best_figure(one.figures, greater_is_better) if state == optuna.trial.TrialState.COMPLETE else None,
        intermediate_values=dict(enumerate(one.figures, start=1)),
    )


def _distribution(plan: SweepSpec, key: str) -> "optuna.distributions.BaseDistribution":
    optuna = _optuna()
    tried = plan.fields[key]
    if tried.values or plan.search == "grid":
        return optuna.distributions.CategoricalDistribution(grid_values(key, tried, plan.points))
    assert tried.low is not None and tried.high is not None
    if SETTINGS[key].type is int:
        return optuna.distributions.IntDistribution(round(tried.low), round(tried.high), log=tried.log)
    # Rounded as the drawn values are, so that a value at the very end lies inside.
    low, high = as_setting(key, tried.low), as_setting(key, tried.high)
    return optuna.distributions.FloatDistribution(low, high, log=tried.log)


def _direction(greater_is_better: bool) -> str:
    return "maximize" if greater_is_better else "minimize"


def _mark(settings: dict[str, Any]) -> str:
    return repr(sorted(settings.items()))


def _optuna() -> Any:
    """Imported where a sweep asks, so that nobody else waits for it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
