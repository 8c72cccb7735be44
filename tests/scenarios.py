"""What the processes of the ``dist`` tests do: scenarios, each once, the outcome in files for the tests to read.

Called as ``scenarios.py RANK SIZE OUT`` by ``processes.WorkerGroup``, which asks for one after another by name.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import user_data

from nn_train.config import config_from_dict
from nn_train.datasets.cache import load_once
from nn_train.engine.joining import join_strategy
from nn_train.engine.strategy import Replicas, configure_tensorflow
from nn_train.events import EpochEnded, Started
from nn_train.runs.worker import Job, WorkerContext, train_replica
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder


class InterruptedTrainingError(Exception):
    """Stands for the death of all workers between two epochs."""


def make_job(out: Path, name: str, size: int, **sections: Any) -> Job:
    content = {"seed": 3, "run": {"loggers": []}, **sections, "name": name}
    content["scaling"] = {"num_workers": size}
    content["train"] = {"epochs": 2, "batch_size": 16, **sections.get("train", {})}
    config = config_from_dict(content)
    return Job(config=config, folder=ResultsFolder(str(out), name), command=("test",), started_at=time.time())


# Trained completely by every world size; the tests compare the folders.
RUNS: dict[str, dict[str, Any]] = {
    "uneven": {"data": {"source": "user_data:arrays"}, "model": {"name": "mlp", "dropout": 0, "l2": 0.01}},
    "one_row_left": {
        "data": {"source": "user_data:short_arrays"},
        "model": {"name": "mlp", "dropout": 0, "l2": 0.01},
    },
    "clipped": {"data": {"source": "user_data:two_inputs"}, "model": {"name": "user_code:compiled_two_inputs"}},
    "batch_norm": {"data": {"source": "user_data:arrays"}, "model": {"name": "user_code:batch_norm"}},
    "stream": {"data": {"source": "user_code:streams"}, "model": {"name": "user_code:plain"}},
    "stream_dropout": {"data": {"source": "user_code:streams"}, "model": {"name": "user_code:plain_dropout"}},
    "short_embedding": {"data": {"source": "user_data:short_tokens"}, "model": {"name": "user_code:embedding"}},
    "positions": {"data": {"source": "user_data:short_tokens"}, "model": {"name": "user_code:positions"}},
    "weighted": {"data": {"source": "user_data:weighted_with_validation"}, "model": {"name": "user_code:plain"}},
    "by_class": {
        "data": {"source": "user_data:short_arrays"},
        "model": {"name": "user_code:plain"},
        "train": {"class_weight": {0: 2.0, 2: 0.25}},
    },
    "augmented": {
        "data": {"source": "user_data:short_arrays", "augment": "user_data:jitter"},
        "model": {"name": "user_code:plain"},
    },
    "unchanged": {"data": {"source": "user_data:short_arrays"}, "model": {"name": "user_code:plain"}},
    "by_name": {
        "data": {"source": "user_data:short_arrays"},
        "model": {"name": "user_code:plain"},
        "optimizer": {"name": "Lion", "args": {"beta_1": 0.8, "weight_decay": 0.1}},
        "train": {"loss": "Huber", "metrics": ["F1Score", {"TopKCategoricalAccuracy": {"k": 2}}]},
    },
    # Parts that do not add up: see own_ways.py.
    "own_steps": {"data": {"source": "user_data:short_arrays"}, "model": {"name": "own_ways:own_steps"}},
    "guide_steps": {"data": {"source": "user_data:short_arrays"}, "model": {"name": "own_ways:guide_steps"}},
    "averages": {
        "data": {"source": "user_data:short_arrays"},
        "model": {"name": "own_ways:averages"},
        "train": {"epochs": 3},
    },
    "hardest": {
        "data": {"source": "user_data:arrays"},
        "model": {"name": "own_ways:hardest"},
        "train": {"batch_size": 64},
    },
    "masked": {"data": {"source": "own_ways:tagged_tokens"}, "model": {"name": "own_ways:masked"}},
    "weighs": {"data": {"source": "user_data:short_arrays"}, "model": {"name": "own_ways:weighs"}},
    "counts": {"data": {"source": "user_data:short_arrays"}, "model": {"name": "own_ways:counts"}},
    "two_outputs": {"data": {"source": "own_ways:weighted_streams"}, "model": {"name": "own_ways:two_outputs"}},
    # Half is held out: every worker validates in several batches.
    "mse": {"data": {"source": "user_data:arrays", "validation_fraction": 0.5}, "train": {"loss": "mse"}},
    "float16": {
        "data": {"source": "user_data:arrays"},
        "model": {"dropout": 0},
        "optimizer": {"name": "sgd", "learning_rate": 0.03},  # whose steps are as large as the gradients
        "train": {"precision": "mixed_float16"},
    },
    "bfloat16": {"data": {"source": "user_data:arrays"}, "train": {"precision": "mixed_bfloat16"}},
    "dropout": {"data": {"source": "user_data:short_arrays"}, "train": {"epochs": 3}},
    "again": {"data": {"source": "user_data:short_arrays"}, "train": {"epochs": 3}},
    "callbacks": {
        "data": {"source": "user_data:arrays"},
        "model": {"dropout": 0},
        "optimizer": {"learning_rate": 0.1},
        "train": {"epochs": 9, "callbacks": "user_callbacks:callbacks"},
    },
    "listening": {
        "data": {"source": "user_data:short_arrays"},
        "train": {"epochs": 9, "callbacks": "user_callbacks:listening"},
    },
    "patience": {
        "data": {"source": "user_data:arrays"},
        "optimizer": {"learning_rate": 3.0},
        "train": {"epochs": 30, "early_stopping_patience": 2},
    },
}


# Draws after a restart come back in two ways: where workers can be without a row they are aligned in every epoch.
CONTINUED = {"continued": "dropout", "continued_even": "mse", "continued_callbacks": "callbacks"}
CONTINUED |= {"continued_stream": "stream_dropout", "continued_patience": "patience"}
WITHIN = {"within": "dropout", "within_even": "mse", "within_norm": "batch_norm", "within_stream": "stream_dropout"}
WITHIN |= {
    "within_augmented": "augmented",
    "within_indexed": "indexed_dropout",
    "within_indexed_averages": "indexed_averages",
}
WITHIN |= {"within_callbacks": "callbacks", "within_averages": "averages"}


# The same run from a folder, of ``.npy`` files or of pictures, of which every worker reads its rows: ``indexed_NAME``.
OF_FOLDERS = (
    "uneven",
    "one_row_left",
    "dropout",
    "weighted",
    "by_class",
    "averages",
    "images",
    "pictures",
    "augmented",
)
INDEXED = {f"indexed_{name}": name for name in OF_FOLDERS}
INDEXED["indexed_records"] = "uneven"
INDEXED["indexed_array_records"] = "images"
RUNS["pictures"] = {"data": {"source": "user_data:images_by_class"}, "model": {"name": "user_code:convolution"}}
RUNS["images"] = {"data": {"source": "user_data:images"}, "model": {"name": "user_code:convolution"}}

RUNS["by_objects"] = {**RUNS["uneven"], "data": {"source": "user_data:objects"}}
RUNS["by_grain"] = {**RUNS["uneven"], "data": {"source": "user_data:grain_objects"}}
RUNS["by_batches"] = {**RUNS["uneven"], "data": {"source": "user_code:batches"}}


def indexed(out: Path, replicas: Replicas, name: str) -> dict[str, Any]:
    """The sections of the run ``INDEXED[name]``, with a folder of this worker's own as the source."""
    sections, folder = RUNS[INDEXED[name]], out / f"{name}-{replicas.rank}-data"
    if name == "indexed_records":
        import user_code

        user_code.save_records(folder, user_data.arrays())
        return {**sections, "data": {"source": "user_code:records", "args": {"folder": str(folder)}}}
    if name == "indexed_array_records":
        user_data.save_array_records(folder, user_data.images())
        sys.path.insert(0, str(folder))
        return {**sections, "data": {"source": "array_records:load"}}
    save = user_data.save_pictures if name == "indexed_pictures" else user_data.save_folder
    save(folder, getattr(user_data, sections["data"]["source"].partition(":")[2])())
    return {**sections, "data": {**sections["data"], "source": str(folder)}}


def continued(out: Path, replicas: Replicas, name: str) -> None:
    """The run ``CONTINUED[name]`` again, ended after one epoch and continued."""
    job = make_job(out, name, replicas.size, **RUNS[CONTINUED[name]])

    def die_after_one_epoch(event: dict[str, Any]) -> None:
        if isinstance(event, EpochEnded):
            raise InterruptedTrainingError

    try:
        train_replica(job, replicas, WorkerContext(report=die_after_one_epoch))
    except InterruptedTrainingError:
        train_replica(job, replicas, WorkerContext())


def continued_within(out: Path, replicas: Replicas, name: str) -> None:
    """The run ``WITHIN[name]`` again with a checkpoint after every step, ended within the second epoch, continued."""
    from nn_train.runs import chunk_hooks

    run = WITHIN[name]
    sections = RUNS[run] if run in RUNS else indexed(out, replicas, run)
    train = {**sections.get("train", {}), "checkpoint_every_seconds": 1e-9}
    job = make_job(out, name, replicas.size, **{**sections, "train": train})
    normal = chunk_hooks.SHARE, chunk_hooks.FIRST_STEPS
    chunk_hooks.SHARE, chunk_hooks.FIRST_STEPS = 1e9, 1  # whatever it costs
    whole, made = chunk_hooks.TimedHooks.pause, [0]

    def die_in_the_second_epoch(self: Any, gather: Any, step: int, loss_sum: float) -> None:
        whole(self, gather, step, loss_sum)
        made[0] += 1
        if step == 2 and made[0] > 2:
            raise InterruptedTrainingError

    chunk_hooks.TimedHooks.pause = die_in_the_second_epoch  # type: ignore[method-assign]
    resumed: list[dict[str, Any]] = []
    try:
        train_replica(job, replicas, WorkerContext())
    except InterruptedTrainingError:
        chunk_hooks.TimedHooks.pause = whole  # type: ignore[method-assign]
        train_replica(job, replicas, WorkerContext(report=resumed.append))
    chunk_hooks.SHARE, chunk_hooks.FIRST_STEPS = normal
    start = next(event for event in resumed if isinstance(event, Started))
    (out / f"{name}-{replicas.rank}.json").write_text(json.dumps([start.resumed_after, start.resumed_step]))


def describe(out: Path, replicas: Replicas) -> dict[str, Any]:
    """What runs in this worker, and what differs between workers."""
    import keras
    import tensorflow as tf

    from nn_train.datasets import load_data
    from nn_train.engine.collectives import same_on_all
    from nn_train.engine.preparation import prepare_model

    job = make_job(out, "describe", replicas.size, model={"name": "mlp", "dropout": 0.5}, data=RUNS["uneven"]["data"])
    model = prepare_model(job.config, load_data(job.config.data), replicas).model
    dropout = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dropout))
    masks = dropout(np.ones((1, 64), np.float32), training=True)
    normed = make_job(out, "describe", replicas.size, **RUNS["batch_norm"]).config
    data = load_data(normed.data)
    loop = prepare_model(normed, data, replicas).loop()
    model = loop.model
    loop.train_epoch(0)
    return {
        "keras": keras.__version__,
        "tf_keras_is_keras_3": tf.keras.Model is keras.Model,
        "strategy": type(replicas.strategy).__name__,
        "replicas": replicas.strategy.num_replicas_in_sync,
        "agreed": [same_on_all(replicas, 7, value) for value in (7, replicas.rank, int(replicas.is_chief))],
        "sums": [kinds_and_sum(count, replicas) for count in (10, 2_000_000)],
        "sums_of_machines": [kinds_and_sum(count, replace(replicas, peers=None)) for count in (10, 2_000_000)],
        "looped": looped_sums(replicas),
        "parts": parts_of_a_step(replace(replicas, peers=None)),
        "mask": np.asarray(masks).ravel().tolist(),
        "statistics": [np.asarray(v.value).tolist() for v in model.non_trainable_variables if "moving" in v.name],
        "weights": [np.asarray(v.value).tolist() for v in model.weights],
    }


def kinds_and_sum(count: int, replicas: Replicas) -> list[Any]:
    """The sum over the workers of 1 + rank, ``count`` times float32: by which operations, and its values."""
    import tensorflow as tf

    from nn_train.engine.collectives import sums

    @tf.function(autograph=False)
    def summed() -> Any:
        return sums([tf.fill([count], replicas.rank + 1.0)], replicas)[0]

    operations = summed.get_concrete_function().graph.get_operations()
    kinds = sorted({operation.type for operation in operations if operation.type.startswith(("Collective", "PyFunc"))})
    return [*kinds, *np.unique(summed()).tolist()]


def parts_of_a_step(replicas: Replicas) -> list[Any]:
    """For how many products of matrices each message of a step waits, of three layers of 4.8 MB, and the weights after.

    Three of the eight are the forward pass, and each layer but the first, which comes last, has two more.
    """
    import keras
    import tensorflow as tf

    from nn_train.engine.model_state import make_plain
    from nn_train.engine.steps import FastSteps

    keras.utils.set_random_seed(5)
    with replicas.strategy.scope():
        model = keras.Sequential([keras.Input([1100]), *(keras.layers.Dense(1100, use_bias=False) for _ in range(3))])
        model.compile(keras.optimizers.SGD(100.0), "mse", jit_compile=False)
    model.build((None, 1100))
    model.optimizer.build(model.trainable_variables)
    make_plain(model)
    steps = FastSteps(model, replicas, may_be_empty=False)
    low, high = replicas.rows(6)
    x, y = np.random.default_rng(7).normal(size=(2, 6, 1100)).astype(np.float32)

    @tf.function(autograph=False)
    def step() -> Any:
        batch = (tf.constant(x[low:high]), tf.constant(y[low:high]), None)
        return steps.train(batch, tf.constant(6))

    operations = step.get_concrete_function().graph.get_operations()
    waits = [products_before(operation) for operation in operations if operation.type == "CollectiveReduceV2"]
    step()
    return [waits, [np.asarray(variable.value).ravel()[:5].tolist() for variable in model.trainable_variables]]


def products_before(operation: Any) -> int:
    """How many products of matrices an operation of a graph waits for."""
    found, waiting = {operation.name: operation}, [operation]
    while waiting:
        one = waiting.pop()
        new = {by.name: by for by in [*(tensor.op for tensor in one.inputs), *one.control_inputs]}
        waiting += [by for name, by in new.items() if name not in found]
        found |= new
    return sum(one.type == "MatMul" for one in found.values())


def looped_sums(replicas: Replicas) -> list[str]:
    """The bits of sums in a loop of a graph, two in each step of which neither needs the other, and of each worker's
    own numbers that go in."""
    import tensorflow as tf

    from nn_train.engine.collectives import sums

    own = np.random.default_rng(replicas.rank).normal(size=1000).astype(np.float32)

    def step(i: Any, vector: Any) -> Any:
        mixed = vector / 8.0 + own
        found = [sums([one], replicas)[0] for one in (mixed + tf.cast(i, tf.float32), mixed * 0.5)]
        return i + 1, found[0] - found[1]

    @tf.function(autograph=False)
    def run() -> Any:
        start = 0, tf.zeros([1000])
        return tf.while_loop(lambda i, _: i < 20, step, start)[1]

    return [np.asarray(run()).tobytes().hex(), own.tobytes().hex()]


def do(name: str, out: Path, replicas: Replicas) -> None:
    if name in RUNS:
        train_replica(make_job(out, name, replicas.size, **RUNS[name]), replicas, WorkerContext())
    elif name in INDEXED:
        train_replica(make_job(out, name, replicas.size, **indexed(out, replicas, name)), replicas, WorkerContext())
    elif name in CONTINUED:
        continued(out, replicas, name)
    elif name in WITHIN:
        continued_within(out, replicas, name)
    else:
        (out / f"{name}-{replicas.rank}.json").write_text(json.dumps(DESCRIBED[name](out, replicas)))


def diverged(out: Path, replicas: Replicas) -> dict[str, Any]:
    """What each worker says when a loss or a weight is not finite, how many epochs are kept, and whether these are."""
    from nn_train.errors import TrainingError
    from nn_train.runs.checkpoints import load_newest

    messages = {}
    for model in ("diverges", "diverges_unseen"):
        sections = {"data": RUNS["uneven"]["data"], "model": {"name": f"failing_models:{model}"}}
        train = {"batch_size": 8, "epochs": 3, "checkpoint_every_seconds": 1e-3}
        job = make_job(
            out, model, replicas.size, train=train, run={"loggers": [], "storage_path": str(out)}, **sections
        )
        try:
            train_replica(job, replicas, WorkerContext())
        except TrainingError as error:
            kept = load_newest(job.folder, warn=print)
            finite = all(np.isfinite(array).all() for array in kept.variables)
            messages[model] = [str(error), len(kept.history), finite]
    return messages


def refused(out: Path, replicas: Replicas) -> list[Any]:
    """What each worker says of jobs that cannot be trained, and which of them left a folder."""
    from nn_train.errors import RequestError

    data, said = RUNS["uneven"]["data"], []
    for number, sections in enumerate(REFUSED):
        job = make_job(out, f"refused{number}", replicas.size, **{"data": data, **sections})
        try:
            train_replica(job, replicas, WorkerContext())
        except RequestError as error:
            said.append([str(error), job.folder.exists()])
    return said


def unlike(out: Path, replicas: Replicas) -> dict[str, list[Any]]:
    """By where data and model come from: what each worker says of data that are not the same on all, and whether an
    epoch was kept."""
    said: dict[str, list[Any]] = {}
    for source, model in UNLIKE:
        name = f"{source}_{model.partition(':')[2]}"
        sections = {"data": {"source": f"unlike_data:{source}"}, "model": {"name": model}}
        job = make_job(out, name, replicas.size, **sections)
        error = error_of(train_replica, job, replicas, WorkerContext())
        said[name] = [error, job.folder.exists(layout.METRICS)]
    return said


def drawn_again(out: Path, replicas: Replicas) -> dict[str, list[str]]:
    """By the function that gives the data: how a run of one worker ends when it is interrupted, and when it resumes."""
    said = {}
    for name, (source, late) in AGAIN.items():

        def interrupt(event: dict[str, Any], late: type = late) -> None:
            if isinstance(event, late):
                raise InterruptedTrainingError

        sections = {"data": {"source": f"unlike_data:{source}"}, "model": {"name": "user_code:plain"}}
        job = make_job(out, f"again_{name}", replicas.size, **sections)
        contexts = WorkerContext(report=interrupt), WorkerContext()
        said[name] = [error_of(train_replica, job, replicas, context) for context in contexts]
        result = job.folder.read_json(layout.RESULT) or {"data": {"fingerprint": {}}}
        said[name].append(" ".join(result["data"]["fingerprint"]))
    return said


def changed_files(out: Path, replicas: Replicas) -> list[list[str]]:
    """What each worker says when a file of its data changes: before a run goes on; between two epochs."""
    said = []
    for name, change_late in (("changed_before", False), ("changed_within", True)):
        sections = {**RUNS["dropout"], **indexed(out, replicas, "indexed_dropout")}
        load_once.cache_clear()
        file = Path(sections["data"]["source"]) / "y_train.npy"
        job = make_job(out, name, replicas.size, **sections)

        def after_epoch(event: dict[str, Any], file: Path = file, change_late: bool = change_late) -> None:
            if isinstance(event, EpochEnded) and event.row["epoch"] == 1:
                os.utime(file, ns=(1, 1))
                if not change_late:
                    raise InterruptedTrainingError

        first = error_of(train_replica, job, replicas, WorkerContext(report=after_epoch))
        load_once.cache_clear()  # as in the process that goes on
        said.append([first, error_of(train_replica, job, replicas, WorkerContext())])
    return said


def shorter_file(out: Path, replicas: Replicas) -> str:
    """What a worker says when a file becomes shorter within an epoch, of which it does not hear otherwise."""
    from nn_train.datasets import IndexedExamples

    sections, whole = indexed(out, replicas, "indexed_uneven"), IndexedExamples.check_unchanged
    file = Path(sections["data"]["source"]) / "x_train.npy"
    IndexedExamples.check_unchanged = lambda self: os.truncate(file, 128 + 60 * 24)  # type: ignore[method-assign]
    said = error_of(train_replica, make_job(out, "shorter", replicas.size, **sections), replicas, WorkerContext())
    IndexedExamples.check_unchanged = whole  # type: ignore[method-assign]
    return said


def large_data(out: Path, replicas: Replicas) -> dict[str, Any]:
    """An epoch over a file four times as large as the memory that this worker may still take.

    The share of the file that the kernel counted as read in an epoch, and in the last quarter of one; and what is said
    to who wants the whole file in memory.
    """
    from resource import RLIM_INFINITY, RLIMIT_DATA, setrlimit

    from nn_train.datasets import load_data
    from nn_train.engine.chunks import PartialEpoch
    from nn_train.engine.preparation import prepare_model
    from nn_train.runs.record import bytes_read

    folder, rows = out / f"large-{replicas.rank}", 12800
    user_data.save_folder(
        folder, ((np.empty(0), np.arange(rows) % 3), (np.zeros((8, 16384), np.float32), np.arange(8)))
    )
    file = np.lib.format.open_memmap(folder / "x_train.npy", mode="w+", dtype=np.float32, shape=(rows, 16384))
    del file  # of zeros that take no place on the disk
    source = {"source": str(folder), "validation_fraction": 0}
    train = {"batch_size": 32}
    config = make_job(out, "large", replicas.size, data=source, model={"name": "user_code:wide"}, train=train).config
    data = load_data(config.data)
    loop = prepare_model(config, data, replicas).loop()
    whole = (folder / "x_train.npy").stat().st_size
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    setrlimit(RLIMIT_DATA, (int(status["VmData"].split()[0]) * 1024 + whole // 4, RLIM_INFINITY))
    try:
        before = bytes_read()
        examples = loop.train_epoch(0)["examples"]
        share = (bytes_read() - before) / whole
        at_three_quarters = PartialEpoch(step=300, loss_sum=0.0, metrics=loop.metric_state.gather())
        before = bytes_read()
        loop.train_epoch(1, at_three_quarters)
        rest = (bytes_read() - before) / whole
        return {
            "examples": examples,
            "share": share,
            "rest": rest,
            "at_once": error_of(np.load, folder / "x_train.npy"),
        }
    finally:
        setrlimit(RLIMIT_DATA, (RLIM_INFINITY, RLIM_INFINITY))


def unreadable_run(out: Path, replicas: Replicas) -> list[str]:
    """What each worker says when the last one cannot read the checkpoint of a run, does not see it, or cannot look."""
    job, new = (make_job(out, f"unreadable_{name}", replicas.size, **RUNS["dropout"]) for name in ("run", "new"))
    train_replica(job, replicas, WorkerContext())
    said = [error_of(train_replica, job, replicas, WorkerContext()) for _ in each_fault(replicas)]
    whole = ResultsFolder.names
    if replicas.rank == replicas.size - 1:
        ResultsFolder.names = None  # type: ignore[assignment]
    said.append(error_of(train_replica, new, replicas, WorkerContext()))
    ResultsFolder.names = whole  # type: ignore[method-assign]
    return said


def replaced_run(out: Path, replicas: Replicas) -> list[str]:
    """A run that replaces one of three epochs, whose chief takes its time to clear the folder: what each says."""
    sections = {**RUNS["dropout"], "run": {"loggers": [], "overwrite": True}}
    job, clear = make_job(out, "replaced_run", replicas.size, **sections), ResultsFolder.clear
    train_replica(job, replicas, WorkerContext())

    def clear_late(self: ResultsFolder) -> None:
        time.sleep(0.5)
        clear(self)

    ResultsFolder.clear = clear_late  # type: ignore[method-assign]
    said = [error_of(train_replica, job, replicas, WorkerContext())]
    ResultsFolder.clear = clear  # type: ignore[method-assign]
    return said


def unreadable_trial(out: Path, replicas: Replicas) -> dict[str, Any]:
    """The same of a trial: what ``begin`` says and ``epoch`` gives; then how it goes on once all can read."""
    from nn_train.engine.collectives import same_on_all
    from nn_train.search import trial_training
    from nn_train.search import trial_worker as trial

    trial.join_process = lambda *place: replicas
    trial_training.CHECKPOINT_SECONDS = 0.0
    job, values = make_job(out, "unreadable_trial", replicas.size, **RUNS["dropout"]), {"seed": 3}
    worker = trial.TrialWorker(replicas.rank, replicas.size)
    worker.join(json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"], job.config.scaling)
    assert worker.begin(job.config, job.folder, values) == ""
    trained = [len(worker.epoch().rows) for _ in range(2)]  # of three
    same_on_all(
        replicas, len(trained)
    )  # as a search, which waits for all workers: the chief has written its checkpoint
    said = []
    for _ in each_fault(replicas):
        cause = worker.begin(job.config, job.folder, values)
        after = worker.epoch()
        said.append([cause, after.cause, after.done, after.rows])
    assert worker.begin(job.config, job.folder, values) == ""
    again = [len(worker.epoch().rows) for _ in range(2)]  # the last one that is known is told once more
    return {"trained": trained, "said": said, "went_on": again}


def each_fault(replicas: Replicas) -> Iterator[None]:
    """Twice: the last worker cannot read checkpoints; it does not see the newest one."""
    from nn_train.errors import StorageError

    read, names, is_last = ResultsFolder.read, ResultsFolder.names, replicas.rank == replicas.size - 1
    read_json = ResultsFolder.read_json

    def fail(self: ResultsFolder, name: str) -> bytes:
        if name.endswith(".ckpt"):
            raise StorageError(f"{name} cannot be read: Permission denied")
        return read(self, name)

    if is_last:
        ResultsFolder.read = fail  # type: ignore[method-assign]
    yield
    if is_last:
        ResultsFolder.read = read  # type: ignore[method-assign]
        ResultsFolder.names = lambda self, name: names(self, name)[:-1]  # type: ignore[method-assign]
        ResultsFolder.read_json = (  # type: ignore[method-assign]
            lambda self, name: None if name == "standing.json" else read_json(self, name)
        )
    yield
    ResultsFolder.names, ResultsFolder.read_json = names, read_json  # type: ignore[method-assign]


def error_of(action: Callable[..., Any], *arguments: Any) -> str:
    """``Kind: message`` of what it raises."""
    try:
        action(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


REFUSED: list[dict[str, Any]] = [
    {"model": {"name": "user_code:too_few_outputs"}},
    {"model": {"name": "user_code:not_a_model"}},
    {"model": {"name": "cnn"}},
    {"model": {"name": "own_ways:names_no_loss"}},
    {"model": {"name": "own_ways:sums_up"}},
    {"data": {"source": "user_code:no_such_function"}},
    {"model": {"name": "user_code:unsavable"}},
    {"model": {"name": "user_code:mixes_rows"}},
]
OF_EACH_KIND = ("drawn_order", "drawn_inputs", "other_number", "drawn_validation", "drawn_rows", "changed_rows")
OF_STREAMS = ("drawn_stream", "drawn_validation_stream", "longer_validation_stream", "changed_stream")
UNLIKE = [(source, "user_code:plain") for source in (*OF_EACH_KIND, *OF_STREAMS)]
AGAIN = {name: (name, EpochEnded) for name in ("drawn_parts", "drawn_rows", "split_stream", "changed_rows")}
AGAIN["nothing_trained"] = ("drawn_parts", Started)
UNLIKE += [("drawn_stream", "own_ways:averages")]  # from whole batches
DESCRIBED = {
    "unlike": unlike,
    "drawn_again": drawn_again,
    "describe": describe,
    "diverged": diverged,
    "refused": refused,
}
DESCRIBED |= {"unreadable_run": unreadable_run, "unreadable_trial": unreadable_trial, "replaced_run": replaced_run}
DESCRIBED |= {"changed_files": changed_files, "shorter_file": shorter_file, "large_data": large_data}


def main(rank: int, size: int, out: Path) -> None:
    # What is printed goes to the log; the answers alone to whom they are for.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    configure_tensorflow(threads=1, use_gpu=False)
    replicas = join_strategy(rank, size, whole_gpu=False)
    for line in sys.stdin:
        do(line.strip(), out, replicas)
        print(line.strip(), file=answers, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
