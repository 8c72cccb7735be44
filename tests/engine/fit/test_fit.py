"""``nn_train.fit`` on several workers: the numbers of Keras' ``fit`` on one, for whatever a user brings."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
from processes import run_workers
from tiers import long

pytestmark = [pytest.mark.dist, pytest.mark.limit(1200)]
SCRIPT = Path(__file__).with_name("keras_scripts.py")
QUICK = {"normalised", "saturated", "of_guides", "installed", "own_scope"}
THREE = {"embedding", "normalised", "own_step"}  # on three workers too
ALONE = {"unbuilt_and_unseeded", "refused", "failing_callback", "entered"}  # not compared with one worker


def names():
    """Of all scripts, as the file lists them."""
    tree = ast.parse(SCRIPT.read_text())
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    listed = next(node.value for node in assigned if getattr(node.targets[0], "id", "") == "SCRIPTS")
    return [element.id for element in listed.elts]


@pytest.fixture(scope="module")
def results(tmp_path_factory, request):
    """``results(size)[name]``: what a script gave on each of so many workers; those of the tests that run."""
    items = [item for item in request.session.items if "results" in item.fixturenames]
    asked = [(item.callspec.params["name"], item.callspec.params.get("size", 2)) for item in items]
    wanted = {size: {name for name, most in asked if size == most} for size in (2, 3)}
    wanted[1] = (wanted[2] | wanted[3]) - ALONE
    made = {}

    def get(size):
        if size not in made:
            made[size] = {}  # also when a script fails: it would fail again
            out = tmp_path_factory.mktemp(f"fit-{size}")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SCRIPTS", " ".join(sorted(wanted[size])))
                run_workers(size, out, SCRIPT, timeout=1000)
            made[size] = {name: read(out, name, size) for name in wanted[size] if (out / f"{name}-0.pickle").exists()}
        return made[size]

    return get


def read(out, name, size):
    return [pickle.loads((out / f"{name}-{rank}.pickle").read_bytes()) for rank in range(size)]


def numbers(value, path=""):
    """All numbers of a nest, by where they stand. What only the chief's callbacks saw is left out."""
    if isinstance(value, dict):
        parts = [(f"{path}.{key}", part) for key, part in value.items() if key != "chief_saw"]
    elif isinstance(value, list | tuple):
        parts = [(f"{path}[{i}]", part) for i, part in enumerate(value)]
    else:
        return {path: np.asarray(value, np.float64)}
    return {key: number for where, part in parts for key, number in numbers(part, where).items()}


def assert_equal(one, other):
    one, other = numbers(one), numbers(other)
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_allclose(one[key], other[key], rtol=1e-9, atol=1e-9, err_msg=key)


@pytest.mark.parametrize(
    ("name", "size"),
    [(name, 2) if name in QUICK else long(name, 2) for name in names() if name not in ALONE]
    + [long(name, 3) for name in sorted(THREE)],
)
def test_the_numbers_are_those_of_one_worker(results, name, size):
    (alone,), together = results(1)[name], results(size)[name]
    assert len(together) == size
    for worker in together:
        assert_equal(alone, worker)
    if "chief_saw" in alone:
        assert_equal(alone["chief_saw"], together[0]["chief_saw"])
        assert together[1]["chief_saw"] == []


@pytest.mark.long
@pytest.mark.parametrize("name", ["unbuilt_and_unseeded"])
def test_workers_begin_with_the_weights_of_the_chief(results, name):
    first, second = results(2)[name]
    for key, number in numbers(first).items():
        assert np.array_equal(number, numbers(second)[key]), key


@pytest.mark.parametrize("name", ["entered"])
def test_python_is_entered_as_often_as_somebody_listens(results, name):
    """Five batches an epoch, the last one shorter; the bar is the chief's, and the others go by it."""
    for worker in results(2)[name]:
        assert worker == {"nobody": [4, 1] * 2, "callback": [1] * 10, "bar": [1] * 10}


@pytest.mark.parametrize("name", ["refused"])
def test_what_would_depend_on_the_number_of_workers_is_refused_by_all(results, name):
    first, second = results(2)[name]
    assert first.pop("length").startswith("the workers see different numbers of batches, this one 5; give each")
    assert second.pop("length").startswith("the workers see different numbers of batches, this one 4; give each")
    assert "see different numbers of batches, this one 5" in first.pop("validation")  # after the first epoch
    assert "see different numbers of batches, this one 4" in second.pop("validation")
    assert first.pop("test").startswith("test_step: 2 workers, of which")  # after the first epoch
    assert second.pop("test").startswith("test_step: 2 workers, of which")
    assert first.pop("epochs")[:40] == second.pop("epochs")[:40] == "fit: the workers call it with different "
    for told in (first, second):
        assert told["state"].startswith(
            "train_step: 2 workers, of which each computes its rows"
        )  # the last one sees it
    assert "/remembers/largest, is " in first.pop("state") + second.pop("state")
    assert first == second
    for name in ("add_loss", "compute_loss", "rows in training", "shuffled rows", "clipped as in guides"):
        assert first[name].startswith("train_step: 2 workers, of which each computes its rows of a batch, do not come")
        assert "seen on the first rows: gradient 1, of " in first[name]
    assert "seen on the first rows: sum/total, is " in first["metric of a layer"]
    assert first["metric of a mean"] == "trained"
    assert first["scope"].startswith("called within the scope of a tf.distribute strategy; build and compile the model")
    assert first["mirrored"].startswith("tf.distribute.MirroredStrategy is for one process, and this one has joined")
    assert first["data"].startswith("the workers see different batches; give each of them all of the data")
    assert first["rows of others"] == first["data"]
    assert first["predict_step"].startswith(
        "predict_step: 2 workers, of which each computes its rows of a batch, do not"
    )
    assert first["make_train_function"].startswith("make_train_function: MakesItsFunction makes a function of its own")
    assert "a tensor of this step has another number of rows than the batch" in first["three for each"]
    assert first["texts"].startswith("texts that are computed cannot be put together")
    assert first["all rows"].startswith(
        "train_step: it runs on a batch of 8 rows, and not on those of a worker (Matrix"
    )
    assert "/lstm: stateful=True keeps a state for each row of a batch, of which each worker" in first["stateful"]
    assert not [message for message in first.values() if "has changed" in message]


@pytest.mark.long
@pytest.mark.parametrize("name", ["failing_callback"])
def test_an_error_of_a_callback_is_raised_on_all_workers(results, name):
    first, second = results(2)[name]
    assert first.pop("error") == second.pop("error") == "'no such thing'"
    assert_equal(first, second)
