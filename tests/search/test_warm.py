"""Warm models: the same bits as models made anew, and no memory from trial to trial."""

from __future__ import annotations

import ctypes
import gc
import sys
from itertools import pairwise

import pytest

pytestmark = pytest.mark.tf
# The fields of mallinfo2(3): what was asked for is in uordblks, and large blocks in hblkhd.
MALLINFO = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
COUNTS = [(name, ctypes.c_size_t) for name in MALLINFO.split()]

NUMBERS = [
    {"model": {"dropout": 0.2227}},
    {"model": {"l2": 9.8e-5, "dropout": 0.0}},
    {"optimizer": {"schedule": "cosine", "learning_rate": 0.00458, "warmup_steps": 5}},
    {"optimizer": {"schedule": "exponential", "learning_rate": 0.00458, "decay_steps": 7, "decay_rate": 0.8}},
    {"train": {"precision": "mixed_bfloat16"}, "model": {"dropout": 0.3}},
    {"train": {"loss": "Huber"}, "model": {"dropout": 0.3}},
    {"optimizer": {"name": "Nadam", "schedule": "cosine", "args": {"beta_1": 0.8, "clipnorm": 0.1}}},
    {"optimizer": {"name": "adamw", "args": {"weight_decay": 0.037}}},
    {"optimizer": {"name": "Lion", "schedule": "cosine", "warmup_steps": 5, "args": {"weight_decay": 0.037}}},
]
# Trained from whole batches, in steps that are traced twice; the last for callbacks of batches.
DECAYING = {"optimizer": {"name": "adamw", "schedule": "exponential", "learning_rate": 0.00458, "decay_steps": 7}}
AVERAGED = {"optimizer": {"args": {"use_ema": True, "ema_momentum": 0.9}}, "model": {"dropout": 0.3, "l2": 0.01}}
WITH_SCHEDULE = {"optimizer": {"schedule": "cosine", "warmup_steps": 3, "args": {"gradient_accumulation_steps": 2}}}
WHOLE = [(AVERAGED, False), (WITH_SCHEDULE, False), ({"model": {"dropout": 0.3, "l2": 0.01}}, True)]
# What the trial before has in the place of each number that is not 0.
BEFORE = {"dropout": 0.41, "l2": 0.003, "learning_rate": 0.02, "warmup_steps": 3, "weight_decay": 0.4}


def before(content):
    """The sections of the trial before."""
    numbers = {name: BEFORE[name] for name, value in content.items() if name in BEFORE and value}
    return {name: before(value) if isinstance(value, dict) else value for name, value in content.items()} | numbers


@pytest.fixture(scope="module")
def replicas():
    """One worker without a strategy of its own: that could only be made before TensorFlow was used."""
    import tensorflow as tf

    from nn_train.engine.strategy import Replicas

    return Replicas(strategy=tf.distribute.get_strategy(), rank=0, size=1)


def make(sections, **train):
    from nn_train.config import config_from_dict

    sections = {"data": {"source": "user_data:arrays"}, **sections}
    sections["train"] = {"batch_size": 16, "epochs": 2, **sections.get("train", {}), **train}
    return config_from_dict({"scaling": {"num_workers": 1}, **sections})


@pytest.mark.parametrize(
    ("sections", "by_batches", "shared"),
    [
        *((one, False, True) for one in NUMBERS),
        (DECAYING, False, False),
        *((one, by_batches, True) for one, by_batches in WHOLE),
    ],
    ids=str,
)
def test_a_warm_model_trains_to_the_same_bits_as_a_new_one(replicas, sections, by_batches, shared):
    from nn_train.datasets import load_data
    from nn_train.engine.preparation import prepare_model
    from nn_train.search.warm.models import WarmModels

    config = make(sections)
    data = load_data(config.data)
    new = prepare_model(config, data, replicas, by_batches=by_batches).loop()
    expected = [(new.train_epoch(epoch), new.evaluate()) for epoch in range(2)]
    models = WarmModels(replicas)
    other = {**before({"optimizer": {"learning_rate": 0.001}, **sections}), "seed": 11}
    used = models.get(make(other, batch_size=24, epochs=5), data, by_batches=by_batches)
    used.loop.train_epoch(0)
    warm = models.get(config, data, by_batches=by_batches)
    assert (warm is used) == shared
    warm.loop.train_epoch(0)
    assert models.get(config, data, by_batches=by_batches) is warm
    assert [(warm.loop.train_epoch(epoch), warm.loop.evaluate()) for epoch in range(2)] == expected


def test_a_setting_that_changes_the_graph_gives_another_model(replicas):
    from nn_train.datasets import load_data
    from nn_train.search.warm.models import WarmModels

    models = WarmModels(replicas)
    data = load_data(make({}).data)
    first = models.get(make({}), data)
    for sections in (
        {"model": {"hidden_units": 8}},
        {"optimizer": {"name": "sgd"}},
        {"optimizer": {"schedule": "cosine"}},
        {"train": {"precision": "mixed_bfloat16"}},
        {"train": {"loss": "Huber"}},
        {"train": {"metrics": [{"AUC": {"curve": "PR"}}]}},
    ):
        assert models.get(make(sections), data) is not first, sections
    assert models.get(make({"optimizer": {"learning_rate": 0.5}}), data) is first


def test_memory_does_not_grow_from_trial_to_trial(replicas):
    from nn_train.datasets import load_data
    from nn_train.search.warm.models import WarmModels

    models = WarmModels(replicas)
    data = load_data(make({}).data)

    def trials(numbers):
        for number in numbers:
            sections = {
                "model": {"dropout": 0.01 * (1 + number % 50)},
                "optimizer": {"learning_rate": 1e-3 * (1 + number)},
            }
            warm = models.get(make(sections, batch_size=8 + number % 9), data)
            warm.loop.train_epoch(0)
            warm.loop.evaluate()
        return held()

    count = 5
    held_then = [trials(range(first, first + count)) for first in range(0, 6 * count, count)]
    objects, functions, in_use, blocks = zip(*held_then, strict=True)
    # A leak shows in every five trials, what Python, Keras and TensorFlow make once (two dozen objects) only in some.
    assert growth(objects) < count / 2  # not even one object each trial
    assert functions[-1] <= functions[0]
    assert growth(blocks) < 50 * count  # of Python's small ones; a dozen a trial were seen
    assert growth(in_use) < 28e3 * count  # bytes: 14 kB a trial remain, and less later on
    assert models.traced == 1


def growth(counts):
    """What came on top from one measurement to the next, in all of them but one."""
    return sorted(later - earlier for earlier, later in pairwise(counts))[1]


def held():
    """What this process holds: Python's objects, TensorFlow's functions, bytes that were asked for, small blocks.

    Those do not depend on what else the machine does, as what is resident would; 0 where the C library does not count.
    """
    from tensorflow.python.eager import context

    gc.collect()
    library, in_use = ctypes.CDLL(None), 0
    if hasattr(library, "mallinfo2"):  # glibc
        library.mallinfo2.restype = type("Counts", (ctypes.Structure,), {"_fields_": COUNTS})
        counts = library.mallinfo2()
        in_use = counts.uordblks + counts.hblkhd
    return len(gc.get_objects()), len(context.context().list_function_names()), in_use, sys.getallocatedblocks()
