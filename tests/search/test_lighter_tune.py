"""Ray Tune's registry within a search."""

from __future__ import annotations

import pytest
from ray import tune
from ray.tune import registry
from ray.tune.execution import tune_controller
from ray.tune.experiment import Experiment

from nn_train.search.algorithms import listed_search
from nn_train.search.lighter_tune import lighter

NAME = (registry.TRAINABLE_CLASS, "of a test")


def test_a_trainable_is_read_once_within_a_search_and_anew_in_the_next():
    known = registry._global_registry
    for value in ("first", "second"):
        known._to_flush[NAME] = registry.pickle.dumps([value])
        with lighter(is_local=False, num_workers=1):
            assert known.contains(*NAME)
            assert known.get(*NAME) == [value]
            assert known.get(*NAME) is known.get(*NAME)
    assert known.get(*NAME) is not known.get(*NAME)
    known.unregister(*NAME)
    assert not known.contains(*NAME)


class Trial:
    """Of a search."""


@pytest.mark.parametrize(
    ("is_local", "num_workers", "environment", "manager"),
    [(True, 1, None, "Fixed"), (True, 2, None, "PlacementGroup"), (False, 1, "PL_DISABLE_FORK", "PlacementGroup")],
)
def test_only_on_a_ray_of_this_job_alone_trials_have_its_environment_and_one_worker_no_group(
    is_local, num_workers, environment, manager
):
    with lighter(is_local, num_workers):
        options = tune_controller._ActorClassCache().get(Trial)._default_options
        assert tune_controller.PlacementGroupResourceManager.__name__ == f"{manager}ResourceManager"
    given = (options.get("runtime_env") or {}).get("env_vars")
    assert given is None if environment is None else environment in given
    assert tune_controller.PlacementGroupResourceManager.__name__ == "PlacementGroupResourceManager"


def test_trials_that_were_listed_are_given_as_they_are(tmp_path):
    drawn = [("AUC",), ({"AUC": {"curve": "PR"}}, "F1Score"), {"depth": 3}, {"depth": {"of": [1]}}, 2]
    points = [{"trial": f"t{index}", "draws": {"of": one}} for index, one in enumerate(drawn)]
    generator, space = listed_search(points, None)
    with lighter(is_local=False, num_workers=1):
        generator.add_configurations(
            Experiment("s", run=tune.Trainable, config=space, num_samples=len(points), storage_path=str(tmp_path))
        )
        given = [generator.next_trial().config for _ in points]
    assert given == points
