"""What loggers say of a trial as a whole: its metrics at the best epoch."""

from __future__ import annotations

from nn_train.config import Config
from nn_train.runs.history import best_epoch
from nn_train.search.journal import Record
from nn_train.search.results import METRICS

RUNNING = "running"  # the status of a trial that is in no journal yet


def best_tags(config: Config) -> dict[str, str]:
    """The search's metric and the usual ones: what each is called at the best epoch."""
    return {name: f"best_epoch/{name}" for name in (config.search.metric, *METRICS)}


def at_best_epoch(record: Record, config: Config) -> dict[str, float]:
    """``best_epoch/<metric>`` to value; empty for a trial without epochs, and for one that failed."""
    values = {tag: record.value(name) for name, tag in best_tags(config).items()}
    return {tag: value for tag, value in values.items() if value is not None}


def step_of_best(record: Record) -> int:
    """The best epoch, from 1; 0 without any."""
    return best_epoch(record.rows) if record.rows else 0
