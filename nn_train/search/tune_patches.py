"""The private parts of Ray Tune that a search replaces; docs/private_names.md says what each saves."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import ray
from ray.air.execution import FixedResourceManager
from ray.tune import registry
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial

from nn_train.engine.monkeypatch import replaced


def keeps_process(of_tune: Callable[[Any, Trial], bool], controller: object, trial: Trial) -> bool:
    """In the place of ``TuneController._maybe_cache_trial_actor``: a worn process waits for no other trial.

    Tune would give it to the next one, which then fails without anybody being told, where ``reset_config`` refuses.
    """
    return not (trial.last_result or {}).get("worn") and of_tune(controller, trial)


@contextlib.contextmanager
def patched_tune(is_local: bool, num_workers: int) -> Iterator[None]:
    """Patch Tune for one call of it.

    Args:
        is_local: a Ray that serves this job alone. There trials of one worker need no placement group, which Tune makes
            and removes for each trial, also for one that takes over the process of another.
        num_workers: of a trial. A placement group holds the places of several.
    """
    known, controller = registry._global_registry, tune_controller.TuneController
    with contextlib.ExitStack() as stack:
        kept = functools.partialmethod(functools.partial(keeps_process, controller._maybe_cache_trial_actor))
        stack.enter_context(replaced(controller, "_maybe_cache_trial_actor", kept))
        # Tune asks Ray five times a trial for the same class, 4 ms in which a slot waits.
        stack.enter_context(replaced(known, "contains", functools.cache(known.contains)))
        stack.enter_context(replaced(known, "get", functools.cache(known.get)))
        if is_local:
            # Tune hands variables on once more, as an environment of the actor, for which Ray does not fork.
            actors = functools.partial(SimpleNamespace, get=functools.cache(ray.remote))
            stack.enter_context(replaced(tune_controller, "_ActorClassCache", actors))
        if is_local and num_workers == 1:
            stack.enter_context(replaced(tune_controller, "PlacementGroupResourceManager", FixedResourceManager))
        yield
