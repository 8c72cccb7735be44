"""Trials of models with code of a user's own in warm processes: the bits of new models, and a graph that is shared."""

from __future__ import annotations

import numpy as np
import own_argument_trials
import own_code_trials
import own_nasty_trials
import own_number_trials
import pytest
from own_argument_trials import SCHEDULES
from own_code_trials import KEEPING
from own_nasty_trials import PARTS, begin_anew
from own_number_trials import BESIDE
from tiers import of_newer_keras

pytestmark = pytest.mark.tf

# Function, what the second trial has else than the first, and whether they share a graph.
RATE, DROPOUT = {"optimizer": {"learning_rate": 0.02}}, {"model": {"dropout": 0.4}}
NUMBERS = {"model": {"dropout": 0.4, "l2": 0.02}}
TRIALS = [
    ("gated", {**RATE, **DROPOUT, "seed": 11}, True),
    ("subclassed", {**RATE, "model": {"dropout": 0.4, "l2": 0.02}, "seed": 11}, True),
    ("wired", DROPOUT, False),
    ("wired", {"model": {"dropout": 0.25}}, True),
    ("all_own", {**RATE, **DROPOUT}, True),
    ("noisy", {**RATE, "seed": 11}, True),
    ("recurrent", RATE, True),
    ("rating", DROPOUT, False),
    ("rating", RATE, True),
    ("by_class", DROPOUT, False),
    ("by_code", DROPOUT, False),
    ("by_global", DROPOUT, False),
    ("by_module", DROPOUT, False),
    ("by_array", DROPOUT, False),
    ("never_reset", RATE, False),
    ("penalty_of_all", RATE, False),
    ("weights_alone", {"optimizer": {"name": "ScheduleFreeAdamW"}, "seed": 11}, False),
    ("gated_alone", {"optimizer": {"name": "AdamW", "learning_rate": 0.02}}, True),
    ("anchored", RATE, False),
    ("counting_resets", RATE, False),
    *((f"applying {what}", DROPOUT, what == "class_call") for what in PARTS),
    ("named_as_keras_does", DROPOUT, False),
    ("patched_call", DROPOUT, False),
    ("penalised", RATE, True),
    ("names_a_pattern", DROPOUT, True),
    *((f"remembering {what}", {**RATE, "seed": 11}, False) for what in KEEPING),
    *(
        (f"layered {what}", {**RATE, **NUMBERS, "seed": 11}, True)
        for what in ("Block", "Logging", "OwnGradient", "WithProperty")
    ),
    ("layered ByOptions", {**RATE, **NUMBERS}, True),
    *((f"layered {what}", NUMBERS, False) for what in ("ByName", "ByAnyName", "ByDescription")),
    *((f"layered {what}", NUMBERS, False) for what in ("ByKind", "MakesInSteps", "MakesByAttribute")),
    ("layered Traced", {**RATE, **NUMBERS, "seed": 11}, True),
    ("of_keras", DROPOUT, False),
    ("attending", {**DROPOUT, **RATE}, True),
    ("attending", {"model": {"dropout": 0.0}}, False),
    *((name, {**DROPOUT, **RATE, "seed": 11}, True) for name in ("recurrent_rates", "recurrent_step")),
    ("dropping_all", DROPOUT, True),
    ("both_factors", {"model": {"l2": 0.02}}, True),
    ("one_schedule", NUMBERS, False),
    ("of_keras", {"model": {"l2": 0.02}}, True),
    *((f"normalised {what}", NUMBERS, True) for what in ("learned", "given")),
    ("normalised from_the_config", NUMBERS, False),
    ("looking_up three", NUMBERS, True),
    ("looking_up some", NUMBERS, False),
    *((f"scheduled {what}", {**RATE, "seed": 11}, True) for what in SCHEDULES),
    ("looks_up_values", RATE, False),
    ("reads_schedule", RATE, False),
    *((name, {**RATE, "seed": 11}, True) for name in ("own_step", "averaged")),
    *((name, {**RATE, **NUMBERS}, True) for name in ("own_step", "averaged")),
    ("own_step", {**RATE, "train": {"batch_size": 8}}, True),
    ("averaged_schedule", {**RATE, **NUMBERS}, True),
    *((f"own_step_of {what}", {**RATE, **NUMBERS}, False) for what in ("Counting", "Flagging", "Validating")),
    *((f"own_step_of {what}", NUMBERS, False) for what in ("Switching", "Weighing", "ReadsRates")),
    *((f"own_step_of {what}", {**RATE, "seed": 11}, True) for what in ("Counting", "Switching", "Weighing")),
    ("scaling_with ExponentialDecay", RATE, False),
    ("halving", RATE, False),
    ("layered Inferring", NUMBERS, False),
    ("layered Inferring", RATE, True),
    ("own_step_of TracedStep", {**RATE, **NUMBERS}, True),
    ("layered TracedOnce", NUMBERS, False),
    *((f"own_step_of {what}", {**RATE, "seed": 11}, False) for what in ("Drawing", "DrawingOnce", "MakesLater")),
    ("own_step_of Helped", DROPOUT, False),
    *((f"decaying {what}", RATE, what in ("neither", "steps")) for what in ("decay", "float64", "neither", "steps")),
    ("own_step", {"optimizer": {"learning_rate": 0.02, "schedule": "cosine"}}, True),
    ("noisy_layers", {**RATE, **DROPOUT, "seed": 11}, True),
    *((name, {**RATE, **NUMBERS}, True) for name in ("of_variables", "orthogonal")),
    *((f"cached {what}", DROPOUT, what == "computed") for what in ("computed", "drawn")),
    *((name, {**RATE, **DROPOUT}, True) for name in ("convolving", "grouped")),
    *((f"halves {what}", {**RATE, **DROPOUT, "seed": 11}, True) for what in ("build", "compile")),
    *((f"beside {what}", NUMBERS, True) for what in BESIDE),
]
QUICK = {"layered Block", "layered ByName", "layered Traced", "scheduled warmup", "own_step"}
SLOWER = {
    "attending",
    "recurrent_rates",
    "recurrent_step",
    "both_factors",
    "one_schedule",
    "decaying",
    "own_step_of",
    "scaling_with",
    "layered",
    "of_keras",
    "normalised",
    "looking_up",
    "scheduled",
    "averaged",
    "noisy_layers",
    "of_variables",
    "orthogonal",
    "cached",
    "convolving",
    "grouped",
    "halves",
    "beside",
}


NUMBERLESS = {"noisy", "recurrent", "never_reset", "remembering"}  # functions that take none from the config
NUMBERLESS |= {"penalty_of_all", "weights_alone", "gated_alone", "anchored", "counting_resets", "penalised"}
NUMBERLESS |= {"draws_weights", "counts_calls", "changes_keras", "gives_a_layer_again", "gives_a_built_layer"}
WITH_PENALTY = {"one_schedule", "subclassed", "layered", "of_keras", "normalised", "scheduled", "looking_up"}
WITH_PENALTY |= {"both_factors", "own_step", "own_step_of", "used_once", "averaged", "averaged_schedule"}
WITH_PENALTY |= {"scaling_with", "of_variables", "orthogonal", "beside"}
NUMBERLESS |= {"both_factors", "reads_schedule", "looks_up_values", "decaying", "halving"}


@pytest.fixture(scope="module")
def replicas():
    """One worker without a strategy of its own: that could only be made before TensorFlow was used."""
    import tensorflow as tf

    from nn_train.engine.strategy import Replicas

    return Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1)


def job(function, other):
    from nn_train.config import config_from_dict

    name, _, what = function.partition(" ")
    modules = (own_code_trials, own_argument_trials, own_number_trials, own_nasty_trials)
    module = next(known.__name__ for known in modules if hasattr(known, name))
    model = {"name": f"{module}:{name}", **({"args": {"what": what}} if what else {})}
    model |= {} if name in NUMBERLESS else {"dropout": 0.2}
    model |= {"l2": 0.01} if name in WITH_PENALTY else {}
    train = {"batch_size": 16, "epochs": 2, **other.get("train", {})}
    sections = {"data": {"source": "user_data:arrays"}, "train": train, "scaling": {"num_workers": 1}}
    return config_from_dict({**other, **sections, "model": {**model, **other.get("model", {})}})


def trained(loop):
    """What two epochs give, and the bits of the weights afterwards."""
    rows = [(loop.train_epoch(epoch), loop.evaluate()) for epoch in range(2)]
    return rows, [np.asarray(weight.value).tobytes() for weight in loop.model.weights]


def optimizer_of(other):
    """The same optimizer and schedule, as far as they are named."""
    given = other.get("optimizer", {})
    return {"optimizer": {name: given[name] for name in given.keys() & {"name", "schedule"}}}


def marks(function):
    newer = [of_newer_keras()] if function in ("weights_alone", "dropping_all") else []
    return [*newer, *([pytest.mark.long] if function.split()[0] in SLOWER and function not in QUICK else [])]


@pytest.mark.parametrize(
    ("function", "other", "shared"), [pytest.param(*trial, marks=marks(trial[0])) for trial in TRIALS], ids=str
)
def test_a_trial_has_the_bits_of_a_new_model(replicas, function, other, shared):
    from nn_train.datasets import load_data
    from nn_train.engine.loops import loop_of
    from nn_train.engine.preparation import prepare_model
    from nn_train.search.warm.models import WarmModels

    configs = [job(function, other), job(function, optimizer_of(other))]
    data = load_data(configs[0].data)
    runs, trials, used, models = [], [], [], WarmModels(replicas)
    for config in configs:
        new = loop_of(prepare_model(config, data, replicas), config, data, replicas)
        runs.append(trained(new))
    for config in (*configs, configs[0]):
        warm = models.get(config, data)
        trials.append(trained(warm.loop))
        used.append(warm)
    assert trials == [*runs, runs[0]]
    assert (used[1] is used[0]) == shared


def test_what_keras_changes_in_a_class_of_the_users_needs_no_new_process(replicas):
    """At the first model of it whose layers are connected."""
    from nn_train.datasets import load_data
    from nn_train.search.warm.models import WarmModels

    models = WarmModels(replicas)
    used = [models.get(config, load_data(config.data)) for config in (job("used_once", {}), job("used_once", NUMBERS))]
    assert not models.must_end
    assert used[0] is used[1]


def test_a_second_optimizer_keeps_its_rate_when_the_state_of_another_trial_is_taken_over(replicas):
    from nn_train.datasets import load_data
    from nn_train.search.warm.models import WarmModels

    config = job("halves compile", RATE)
    warm = WarmModels(replicas).get(config, load_data(config.data))
    optimizers = warm.loop.model.optimizer, warm.loop.model.of_head
    with warm.rate_kept():
        for one in optimizers:
            one.learning_rate = 0.7
    assert [float(one.learning_rate) for one in optimizers] == pytest.approx([0.02, 0.06])


@pytest.mark.parametrize("function", ["layered Block", "gated"])
def test_a_shared_model_says_what_it_was_made_with(replicas, function):
    """Such as a callback would save: for ``gated`` that is what Keras notes of the arguments by itself."""
    import keras

    from nn_train.datasets import load_data
    from nn_train.search.warm.models import WarmModels

    models, told, used = WarmModels(replicas), [], []
    for config in (job(function, {}), job(function, DROPOUT), job(function, {})):
        used.append(models.get(config, load_data(config.data)).loop.model)
        told.append(keras.saving.serialize_keras_object(used[-1].layers[1])["config"]["rate"])
    assert used[0] is used[1]
    assert told == [0.2, 0.4, 0.2]


@pytest.mark.parametrize(
    "function", ["draws_weights", "counts_calls", "changes_keras", "gives_a_layer_again", "gives_a_built_layer"]
)
def test_a_function_that_goes_on_from_where_it_was_gets_a_new_process_for_each_trial(replicas, function):
    from nn_train.datasets import load_data
    from nn_train.engine.loops import loop_of
    from nn_train.engine.preparation import prepare_model
    from nn_train.search.trial_worker import GOES_ON, TrialWorker
    from nn_train.search.warm.models import WarmModels

    config = job(function, RATE)
    data = load_data(config.data)
    begin_anew()
    new = loop_of(prepare_model(config, data, replicas), config, data, replicas)
    expected = [(new.train_epoch(epoch), new.evaluate()) for epoch in range(2)]
    begin_anew()
    worker = TrialWorker(0, 1)
    worker.models = WarmModels(replicas)
    assert worker.wear() == ""
    loop = worker.models.get(config, data).loop
    assert [(loop.train_epoch(epoch), loop.evaluate()) for epoch in range(2)] == expected
    assert worker.wear() == f"model.name: {GOES_ON}"


@pytest.mark.parametrize(
    ("function", "once"), [("sets_sometimes", False), ("sets_sometimes", True), ("sets_what_is_traced", False)]
)
def test_what_a_function_sets_for_some_trials_ends_the_process_when_it_does(replicas, function, once):
    """``once``: of trials that share nothing, as with callbacks of the user's."""
    from nn_train.datasets import load_data
    from nn_train.engine.loops import loop_of
    from nn_train.engine.preparation import prepare_model
    from nn_train.search.trial_worker import TrialWorker
    from nn_train.search.warm.models import WarmModels

    usual, other = job(function, {}), job(function, DROPOUT)
    data = load_data(usual.data)
    begin_anew()
    new = trained(loop_of(prepare_model(other, data, replicas), other, data, replicas))
    begin_anew()
    worker = TrialWorker(0, 1)
    worker.models = WarmModels(replicas)
    trained(worker.models.get(usual, data, once=once).loop)
    assert worker.wear() == ""
    assert trained(worker.models.get(other, data, once=once).loop) == new
    assert worker.wear() != ""
