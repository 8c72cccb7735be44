"""What a search costs beyond its training, against a search written as Ray documents it, in one run.

    python -m benchmarks.search_speed [--trials 100] [--overhead_trials 1000] [--simulated_trials 10000] [--json FILE]

Five measurements, each on a local Ray of its own:

- overhead: one-worker trials of one epoch of a small MLP; slots times wall time, less the seconds of training
  that the trials themselves report, by trial, once the processes have started.
- reused: the same with a model function of one's own, which reads the dropout rate of its config, and
  ``search.reuse_graph``.
- anew: the same without it, each trial traced anew.
- documented: the same ASHA search of MLP trials (1 to 8 epochs, reduction 4, batch 128) by ``jobs.tune`` and by
  a function trainable with ``model.fit`` and a fresh process for each trial.
- simulated: trials whose training is a formula; memory of the driver, and the cost of late trials against early.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nn_train.events import Event, TrialEnded

SPACE = {"optimizer.learning_rate": {"loguniform": [1e-4, 1e-2]}, "model.dropout": {"uniform": [0.1, 0.4]}}
EPOCHS, FACTOR, BATCH = 8, 4, 128
# Measurement, how it is compared, and its limit.
TARGETS = (
    ("overhead", "slot_seconds_a_trial", "at most", 0.03),
    ("reused", "slot_seconds_a_trial", "at most", 0.05),
    ("anew", "slot_seconds_a_trial", "at most", 0.4),
    ("documented", "times_as_fast", "at least", 10.0),
    ("simulated", "driver_bytes", "at most", 0.6e9),
    ("simulated", "late_to_early", "at most", 1.25),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="of the comparison with the documented way; 0: none")
    parser.add_argument("--overhead_trials", type=int, default=1000, help="0: none")
    parser.add_argument("--simulated_trials", type=int, default=10_000, help="0: none")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](arguments.count)))
        return 0
    results: dict[str, dict[str, float]] = {}
    if arguments.overhead_trials:
        results["overhead"] = run_part("overhead", arguments.overhead_trials)
        results["reused"] = run_part("reused", arguments.overhead_trials)
        results["anew"] = run_part("anew", max(arguments.overhead_trials // 5, 20))
    if arguments.trials:
        ours, theirs = run_part("ours", arguments.trials), run_part("theirs", arguments.trials)
        ratio = theirs["seconds"] / ours["seconds"]
        results["documented"] = {"times_as_fast": ratio, "ours": ours["seconds"], "documented": theirs["seconds"]}
        results["documented"] |= {"ours_best": ours["best"], "documented_best": theirs["best"]}
    if arguments.simulated_trials:
        results["simulated"] = run_part("simulated", arguments.simulated_trials)
    verdicts = []
    for part, name, word, limit in TARGETS:
        if part in results:
            value = results[part][name]
            reached = value <= limit if word == "at most" else value >= limit
            verdicts.append(reached)
            print(f"{part}: {name} {value:.4g}; {word} {limit:g}: {'reached' if reached else 'MISSED'}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        arguments.json.write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    return 0 if all(verdicts) else 1


def run_part(part: str, count: int) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.search_speed", "--part", part, "--count", str(count)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(f"{part} failed:\n{process.stderr[-3000:]}")
    result: dict[str, float] = json.loads(process.stdout.strip().splitlines()[-1])
    shown = ", ".join(f"{name} {value:,.4g}" for name, value in result.items())
    print(f"{part} ({count} trials): {shown}", flush=True)
    return result


def make_config(folder: str, trials: int, **sections: Any) -> Any:
    from nn_train.config import config_from_dict

    search = {"space": SPACE, "num_trials": trials, "scheduler": "none", "keep_best": 1, **sections.pop("search", {})}
    train = {"batch_size": BATCH, "epochs": 1, **sections.pop("train", {})}
    base = {"scaling": {"num_workers": 1}, "run": {"storage_path": folder}, **sections}
    return config_from_dict({"name": "search", "search": search, "train": train, **base})


def own_mlp(config: Any, input_shape: tuple[int, ...], num_classes: int) -> Any:
    """The preset's MLP as a function of one's own."""
    import keras

    layers = keras.layers
    stack = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(config.model.dropout)]
    return keras.Sequential([keras.Input(input_shape), *stack, layers.Dense(num_classes, activation="softmax")])


def reused(count: int) -> dict[str, float]:
    """``overhead`` with a model of one's own, whose trials share a graph."""
    return overhead(count, {"name": "benchmarks.search_speed:own_mlp"}, reuse_graph=True)


def anew(count: int) -> dict[str, float]:
    """The same without."""
    return overhead(count, {"name": "benchmarks.search_speed:own_mlp"})


def overhead(
    count: int, model: Mapping[str, Any] = MappingProxyType({}), reuse_graph: bool = False
) -> dict[str, float]:
    """Slot-seconds of a trial that are not its training."""
    from nn_train.search import search

    ends: list[float] = []
    training: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, TrialEnded):
            ends.append(time.perf_counter())
            training.append(sum(row["seconds"] for row in event.rows))

    with tempfile.TemporaryDirectory() as folder:
        sections = {"data": {"validation_fraction": 0.1}, "model": dict(model), "search": {"reuse_graph": reuse_graph}}
        search(make_config(folder, count, **sections), on_event=note)
    warm = 2 * (os.cpu_count() or 1)  # the first trials of each process import, build and trace
    slots = os.cpu_count() or 1
    trained = sum(training[warm:])
    spent = slots * (ends[-1] - ends[warm - 1])
    return {"slot_seconds_a_trial": (spent - trained) / (count - warm), "training_a_trial": trained / (count - warm)}


def ours(count: int) -> dict[str, float]:
    """Wall seconds of the search by ``jobs.tune``."""
    from nn_train.search import search

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        asha = {"scheduler": "asha", "reduction_factor": FACTOR}
        outcome = search(make_config(folder, count, train={"epochs": EPOCHS}, search=asha))
    return {"seconds": time.perf_counter() - began, "best": outcome.best.value("val_accuracy") or 0.0}


def theirs(count: int) -> dict[str, float]:
    """The same as Ray's guide to Keras writes it: a function, ``model.fit``, a report after every epoch."""
    import ray
    from ray import tune
    from ray.tune.schedulers import AsyncHyperBandScheduler

    def trainable(config: dict[str, float]) -> None:
        import keras

        from nn_train.config import config_from_dict
        from nn_train.datasets import load_data

        data = load_data(config_from_dict({}).data)
        layers = keras.layers
        stack = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(config["model.dropout"])]
        model = keras.Sequential([keras.Input((28, 28, 1)), *stack, layers.Dense(10, activation="softmax")])
        optimizer = keras.optimizers.Adam(config["optimizer.learning_rate"])
        model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])

        class Report(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                tune.report({"val_accuracy": logs["val_accuracy"], "epoch": epoch + 1})

        examples = [(part.x / 255.0).astype("float32") for part in (data.train, data.validation)]
        validation = (examples[1], data.validation.y)
        fit = {"batch_size": BATCH, "epochs": EPOCHS, "verbose": 0, "callbacks": [Report()]}
        model.fit(examples[0], data.train.y, validation_data=validation, **fit)

    began = time.perf_counter()
    space = {"optimizer.learning_rate": tune.loguniform(1e-4, 1e-2), "model.dropout": tune.uniform(0.1, 0.4)}
    scheduler = AsyncHyperBandScheduler(time_attr="epoch", max_t=EPOCHS, grace_period=1, reduction_factor=FACTOR)
    with tempfile.TemporaryDirectory() as folder:
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        settings = tune.TuneConfig(
            num_samples=count, scheduler=scheduler, metric="val_accuracy", mode="max", reuse_actors=False
        )
        run = tune.RunConfig(storage_path=folder, verbose=0)
        placed = tune.with_resources(trainable, {"CPU": 1})
        found = tune.Tuner(placed, param_space=space, tune_config=settings, run_config=run).fit()
        ray.shutdown()
    return {"seconds": time.perf_counter() - began, "best": found.get_best_result().metrics["val_accuracy"]}


def simulated(count: int) -> dict[str, float]:
    """Cost and memory of the driver where a trial costs nothing."""
    from nn_train.search import ray_tune
    from nn_train.search.driver import begin_session, check_request
    from nn_train.search.trainable import TrialRunner

    ends: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, TrialEnded):
            ends.append(time.perf_counter())

    base = make_simulated()

    def for_search(settings: Any) -> type[TrialRunner]:
        return type("Simulated", (base,), {"settings": settings})

    ray_tune.for_search = for_search
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(folder, count, train={"epochs": 4}, search={"scheduler": "asha"})
        with begin_session(config, check_request(config), note, False) as session:
            session.run()
        assert len(session.journal.records) == count
    tenth = count // 10
    early, late = ends[2 * tenth] - ends[tenth], ends[-1] - ends[-tenth - 1]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    slots = os.cpu_count() or 1
    return {
        "driver_bytes": memory,
        "late_to_early": late / early,
        "slot_seconds_a_trial": slots * (ends[-1] - ends[tenth]) / (count - tenth),
    }


def make_simulated() -> type:
    """A trial whose accuracy is a formula of its learning rate and epoch."""
    import math

    from nn_train.search.trainable import TrialRunner
    from nn_train.search.trial_worker import Outcome

    class Formula:
        """Stands for the workers of a trial, as far as ASHA needs them."""

        broken = False

        def begin(self, config: Any, folder: Any, values: dict[str, Any], draws: dict[str, Any] | None = None) -> str:
            self.rows: list[dict[str, Any]] = []
            self.config = config
            return ""

        def epoch(self) -> Outcome:
            distance = abs(math.log10(self.config.optimizer.learning_rate) + 3)
            accuracy = (1 - 0.2 * distance) * (1 - 0.5 ** (len(self.rows) + 1))
            row = {"epoch": len(self.rows) + 1, "val_accuracy": accuracy, "val_loss": 1 - accuracy, "seconds": 0.0}
            self.rows.append(row)
            return Outcome(rows=self.rows, done=len(self.rows) >= self.config.train.epochs)

        def wear(self) -> str:
            return ""

    class Runner(TrialRunner):
        def setup(self, config: dict[str, Any]) -> None:
            self.workers = Formula()  # type: ignore[assignment]
            self.start(config)

    return Runner


PARTS = {"overhead": overhead, "reused": reused, "anew": anew, "ours": ours, "theirs": theirs, "simulated": simulated}

if __name__ == "__main__":
    sys.exit(main())
