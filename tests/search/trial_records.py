"""What the quick tests of a search share: a job, records, and trials as Ray Tune hands them over."""

from __future__ import annotations

from ray.tune.experiment import Trial

from nn_train.config import config_from_dict
from nn_train.search.journal import Journal, Record

RATE = {"optimizer.learning_rate": {"loguniform": [1e-4, 1e-1]}}


def job(storage_path="results", epochs=4, seed=0, **search):
    """A job of one worker that searches the learning rate."""
    return config_from_dict(
        {
            "name": "s",
            "seed": seed,
            "train": {"epochs": epochs},
            "scaling": {"num_workers": 1},
            "run": {"storage_path": str(storage_path)},
            "search": {"space": RATE, "num_trials": 4, **search},
        }
    )


def rows(*values, losses=None):
    """Epochs with these validation accuracies; the losses fall unless given."""
    losses = losses or [1 / count for count in range(1, len(values) + 1)]
    return [
        {"epoch": epoch, "loss": 0.5, "accuracy": 0.5, "val_loss": loss, "val_accuracy": value}
        for epoch, (value, loss) in enumerate(zip(values, losses, strict=True), start=1)
    ]


def record(trial="t00000", *values, phase="search", status="completed", epochs=4, losses=None, **rest):
    """A trial that ended with these validation accuracies."""
    rest.setdefault("values", {"optimizer.learning_rate": 0.01})
    return Record(trial=trial, phase=phase, status=status, epochs=epochs, rows=rows(*values, losses=losses), **rest)


def journal_of(folder, *records):
    """A journal on disk that holds ``records``."""
    journal = Journal(folder)
    for one in records:
        journal.add(one)
    return journal


def decision(scheduler, value, epoch=1, name="new"):
    """What a scheduler says to a trial that reaches ``value`` after ``epoch``."""
    trial = Trial("trainable", trial_id=name, stub=True)
    scheduler.on_trial_add(None, trial)
    return scheduler.on_trial_result(None, trial, {"epoch": epoch, "value": value, "training_iteration": epoch})
