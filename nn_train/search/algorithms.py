"""The algorithms that propose trials: lists of Ray Tune's and studies of Optuna, by ``search.algorithm``."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState
from ray import tune
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.basic_variant import BasicVariantGenerator
from ray.tune.search.optuna import OptunaSearch
from ray.tune.search.variant_generator import generate_variants

from nn_train.config.entry_points import call_entry_point
from nn_train.config.schema import SearchConfig
from nn_train.config.space import Domain
from nn_train.errors import RequestError

# A choice between lists: nothing of a study is stored by Optuna here.
warnings.filterwarnings("ignore", message="Choices for a categorical distribution", module="optuna")

Point = dict[str, Any]  # {"trial": its name, "draws": what was drawn, or "values": field to value}


def is_listed(search: SearchConfig) -> bool:
    """Whether all trials are known before the first one runs."""
    return search.algorithm in ("random", "grid")


def to_tune(domain: Domain) -> Any:
    """A domain of Ray Tune's; both ends of whole numbers are included."""
    kind, values = domain.kind, domain.values
    if kind == "choice":
        return tune.choice(list(values))
    if kind == "grid":
        return tune.grid_search(list(values))
    if kind == "quantized":
        return (tune.qrandint if domain.whole else tune.quniform)(*values)
    if kind in ("integer", "log_integer"):
        return (tune.randint if kind == "integer" else tune.lograndint)(values[0], values[1] + 1)
    return (tune.uniform if kind == "uniform" else tune.loguniform)(*values)


def check_algorithm(search: SearchConfig, domains: dict[str, Domain]) -> None:
    """Raise RequestError for domains that the algorithm cannot draw from."""
    for name, domain in domains.items():
        if search.algorithm == "grid" and domain.kind not in ("grid", "choice"):
            raise RequestError(
                f"search.space.{name}: {domain.kind} has no end of values, which a grid needs; give "
                "{grid: [...]}, or take another search.algorithm"
            )
        if search.algorithm != "grid" and domain.kind == "grid":
            raise RequestError(
                f"search.space.{name}: grid needs --search.algorithm grid; with {search.algorithm} take choice"
            )


def listed_draws(search: SearchConfig, domains: dict[str, Domain], seed: int) -> list[dict[str, Any]]:
    """What ``random`` or ``grid`` draws, in order. A longer list of the same seed begins with the shorter one."""
    if search.algorithm == "grid":
        grid = {name: tune.grid_search(list(domain.values)) for name, domain in domains.items()}
        return [spec["draws"] for _, spec in generate_variants({"draws": grid})]
    state = np.random.default_rng(seed)
    space = {"draws": {name: to_tune(domain) for name, domain in domains.items()}}
    return [next(iter(generate_variants(space, random_state=state)))[1]["draws"] for _ in range(search.num_trials)]


def listed_search(points: Sequence[Point], max_concurrent: int | None) -> tuple[BasicVariantGenerator, dict[str, Any]]:
    """Return a generator of exactly these trials, and the parameter space to give to the Tuner."""

    def entry(key: str) -> object:
        values = iter([point[key] for point in points])
        return tune.sample_from(lambda: next(values))

    # Every point has the same keys. In points to evaluate Tune would look for more to draw.
    space = {key: entry(key) for key in points[0]}
    return BasicVariantGenerator(max_concurrent=max_concurrent or 0), space


def sampler_of(search: SearchConfig, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of Optuna that ``search.algorithm`` names, or the user's own."""
    samplers = optuna.samplers
    known: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "tpe": lambda: samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
        "cmaes": lambda: samplers.CmaEsSampler(seed=seed),
        "qmc": lambda: samplers.QMCSampler(seed=seed),
        "nsgaii": lambda: samplers.NSGAIISampler(seed=seed),
    }
    if search.algorithm in known:
        return known[search.algorithm]()
    sampler = call_entry_point("search.algorithm", search.algorithm, seed=seed)
    if not isinstance(sampler, samplers.BaseSampler):
        raise RequestError(f"search.algorithm: {search.algorithm} returned no optuna.samplers.BaseSampler")
    return sampler


def seed_after(seed: int, trials: int) -> int:
    """The seed of a session that goes on after so many trials: those of the first one were drawn from ``seed``."""
    return seed if trials == 0 else int(np.random.SeedSequence((seed, trials)).generate_state(1)[0]) >> 1


class OptunaSearcher(Searcher):
    """A study of Optuna that gives every trial its name.

    Args:
        domains: what to draw.
        begun: draws by name of trials that were cut off; they come first.
        names: a name for each further trial still to run, in order.
    """

    def __init__(
        self,
        search: SearchConfig,
        domains: dict[str, Domain],
        seed: int,
        begun: dict[str, Any],
        names: Sequence[str],
    ) -> None:
        super().__init__(metric="value", mode="min" if search.lower_is_better else "max")
        self.space = OptunaSearch.convert_search_space({name: to_tune(domain) for name, domain in domains.items()})
        direction = StudyDirection.MINIMIZE if search.lower_is_better else StudyDirection.MAXIMIZE
        self.study = optuna.create_study(direction=direction, sampler=sampler_of(search, seed))
        self.names = [*begun, *names]
        self.asked: dict[str, optuna.Trial] = {}
        for draws in begun.values():
            self.study.enqueue_trial(draws)

    def learn(self, draws: dict[str, Any], value: float | None) -> None:
        """Know a trial of an earlier search; those outside the space of this one are passed over."""
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        with contextlib.suppress(ValueError):
            known = optuna.trial.create_trial(params=draws, distributions=self.space, value=value, state=state)
            self.study.add_trial(known)

    def suggest(self, trial_id: str) -> Point | str | None:
        if not self.names:
            return self.FINISHED
        self.asked[trial_id] = self.study.ask(fixed_distributions=self.space)
        return {"trial": self.names.pop(0), "draws": self.asked[trial_id].params}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if not result.get("cause"):
            self.asked[trial_id].report(result["value"], result["epoch"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error or not result or result.get("cause"):
            self.study.tell(self.asked.pop(trial_id), state=TrialState.FAIL)
        else:
            self.study.tell(self.asked.pop(trial_id), result["value"])


def limited(searcher: OptunaSearcher, max_concurrent: int) -> ConcurrencyLimiter:
    """A searcher that draws no more trials than can run at a time: one that was drawn early would know less."""
    return ConcurrencyLimiter(searcher, max_concurrent=max_concurrent)
