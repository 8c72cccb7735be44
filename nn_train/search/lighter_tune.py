"""Ray Tune without work that nobody needs here."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray.air.execution import FixedResourceManager
from ray.tune import registry, tune
from ray.tune.execution import experiment_state, tune_controller
from ray.tune.execution.class_cache import _ActorClassCache
from ray.tune.experiment import Trial
from ray.tune.search import basic_variant

from nn_train.ray_cluster.replaced import replaced


class InheritedEnvironment(_ActorClassCache):
    """Actors with the environment that a local Ray has from its driver.

    Tune hands variables of it on once more, as an environment of their own, for which Ray starts processes anew: those
    that it has started in advance are of no use then.
    """

    def get(self, trainable_cls: type) -> Any:
        """The class as an actor's, made once."""
        if trainable_cls not in self._cache:
            self._cache[trainable_cls] = ray.remote(trainable_cls)
        return self._cache[trainable_cls]


def as_listed(spec: dict[str, Any], point: dict[str, Any], **named: object) -> Iterator[tuple[dict[str, Any], Any]]:
    """In the place of ``_get_preset_variants``: a trial that was listed is what it is, and one.

    Tune would look into its values for more to draw, and fail where a list has other parts than that of the first
    trial.
    """
    yield {}, {**spec, "config": point}


def keeps_process(of_tune: Callable[[Any, Trial], bool], controller: object, trial: Trial) -> bool:
    """In the place of ``TuneController._maybe_cache_trial_actor``: a worn process waits for no other trial.

    Tune would give it to the next one, which then fails without anybody being told, where ``reset_config`` refuses.
    """
    return not (trial.last_result or {}).get("worn") and of_tune(controller, trial)


class NoAnalysis:
    """In the place of ``ExperimentAnalysis``, which reads for every trial the files that are not written here."""

    trials: tuple[Trial, ...] = ()

    def __init__(self, **named: object) -> None:
        """Nothing: the journal has it all."""


@contextlib.contextmanager
def lighter(is_local: bool, num_workers: int) -> Iterator[None]:
    """For one call of Tune.

    Args:
        is_local: a Ray that serves this job alone. There trials of one worker need no placement group, which Tune makes
            and removes for each trial, also for one that takes over the process of another.
        num_workers: of a trial. A placement group holds the places of several.
    """
    known = registry._global_registry
    with contextlib.ExitStack() as stack:
        # Tune asks Ray five times a trial for the same class, 4 ms in which a slot waits.
        stack.enter_context(replaced(known, "contains", functools.cache(known.contains)))
        stack.enter_context(replaced(known, "get", functools.cache(known.get)))
        # Counts, for its makers, who has MLflow: by importing it, which takes a second.
        stack.enter_context(replaced(tune.air_usage, "tag_callbacks", lambda callbacks: False))
        stack.enter_context(replaced(tune, "ExperimentAnalysis", NoAnalysis))
        controller = tune_controller.TuneController
        kept = functools.partialmethod(functools.partial(keeps_process, controller._maybe_cache_trial_actor))
        stack.enter_context(replaced(controller, "_maybe_cache_trial_actor", kept))
        stack.enter_context(replaced(basic_variant, "_get_preset_variants", as_listed))
        stack.enter_context(replaced(basic_variant, "_count_variants", lambda spec, points: len(points)))
        # Is ready for data sets of Ray Data, for which it imports that.
        stack.enter_context(replaced(experiment_state, "out_of_band_serialize_dataset", contextlib.nullcontext))
        if is_local:
            stack.enter_context(replaced(tune_controller, "_ActorClassCache", InheritedEnvironment))
        if is_local and num_workers == 1:
            stack.enter_context(replaced(tune_controller, "PlacementGroupResourceManager", FixedResourceManager))
        yield
