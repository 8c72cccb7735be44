"""What a search leaves: ``trials.csv``, ``search.json`` and ``best.yaml`` (columns and fields: docs/tune.md)."""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from typing import Any

from nn_train.config import Config, dump_yaml, value_text
from nn_train.config.space import with_values
from nn_train.errors import RequestError
from nn_train.runs.history import best_epoch
from nn_train.runs.preflight import existing_run
from nn_train.search.journal import COMPLETED, FAILED, STOPPED, Journal, Record
from nn_train.search.phases import confirmed, contenders
from nn_train.search.planning import rungs
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder

BEST = "best.yaml"
MIXED = (
    "its numbers changed while it trained: these are those of its best epoch, and training anew with them alone need "
    "not come to the same"
)
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")


def choose(config: Config, journal: Journal) -> tuple[Record | None, list[Record]]:
    """The chosen trial, and the trials whose models are kept, the best first.

    Chosen on validation: the best trial, or with ``search.confirm`` the one with the best mean over other
    seeds, of which then the runs of all seeds are kept. None and no models where no trial has the metric.
    """
    groups = confirmed(config, journal.records)
    if groups:
        return groups[0]
    best = contenders(config, journal.records)
    return (best[0] if best else None), best[: config.search.keep_best]


def write_results(
    config: Config, folder: ResultsFolder, journal: Journal, seconds: float, ended: str, code: dict[str, Any]
) -> dict[str, Any]:
    """Write the three files (without a best trial no ``best.yaml``); returns the content of ``search.json``.

    Args:
        seconds: wall time of all sessions of the search.
        ended: why it ended before all its trials had, or an empty text.
        code: of the user's, as ``own_code`` gives it.
    """
    best, _ = choose(config, journal)
    summary = {**summarise(config, journal, best, seconds, ended), "code": code}
    folder.write(layout.TRIALS, trials_csv(config, journal).encode())
    if best is not None:
        chosen = with_free_name(with_values(config, best.values), f"{config.job_name}_best"[:96])
        value = f"{config.search.metric} {best.value(config.search.metric):.6g} on the validation examples"
        header = f"# {best.trial} of the search {config.job_name}: {value}\n"
        header += f"# {MIXED}\n" if best.mixed else ""
        folder.write(BEST, (header + dump_yaml(chosen)).encode())
    folder.write_json(layout.SEARCH, summary)
    return summary


def with_free_name(chosen: Config, name: str) -> Config:
    """Called ``name``, or ``name_2`` and so on where there is a run of another config, such as of an earlier best."""
    number = 1
    while True:
        called = with_values(chosen, {"name": name if number == 1 else f"{name}_{number}"})
        try:
            existing_run(ResultsFolder(called.run.storage_path, called.job_name), called)
        except RequestError:
            number += 1
        else:
            return called


def summarise(config: Config, journal: Journal, best: Record | None, seconds: float, ended: str) -> dict[str, Any]:
    """The content of ``search.json``."""
    search = config.search
    counts = Counter(record.status for record in journal.records)
    causes = Counter(first_line(record.cause) for record in journal.records if record.status == FAILED)
    best_entry = best and {"trial": best.trial, "value": best.value(search.metric), "values": best.values}
    return {
        "schema": 1,
        "name": config.job_name,
        "metric": search.metric,
        "mode": "min" if search.lower_is_better else "max",
        "algorithm": search.algorithm,
        "scheduler": search.scheduler,
        "rungs": list(rungs(config)),
        "epochs": config.train.epochs,
        "seed": config.seed,
        "seconds": round(seconds, 3),
        "trials": {status: counts[status] for status in (COMPLETED, STOPPED, FAILED)},
        "ended": ended or "all trials ended",
        "best": best_entry,
        "confirmed": [confirmation(record, runs, search.metric) for record, runs in confirmed(config, journal.records)],
        "failures": [{"cause": cause, "trials": count} for cause, count in causes.most_common()],
        "selection": "on validation examples; no trial was given the test set",
    }


def confirmation(record: Record, seeds: list[Record], metric: str) -> dict[str, Any]:
    """The runs of one contender with other seeds: mean, standard deviation (n - 1), values."""
    values = [value for value in (run.value(metric) for run in seeds) if value is not None]
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"trial": record.trial, "mean": statistics.fmean(values), "sd": spread, "values": values}


def trials_csv(config: Config, journal: Journal) -> str:
    """A row per trial, in order of start."""
    varied = {field for record in journal.records for field in record.values}
    fields = sorted(field for field in varied if field != "seed" or field in config.search.space)
    metrics = list(dict.fromkeys([config.search.metric, *METRICS]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    plain = ("trial_id", "phase", "status", "cause", *metrics, "best_epoch", "epochs", "seconds", "seed")
    writer.writerow([*plain, *(f"config/{field}" for field in fields)])
    for record in sorted(journal.records, key=lambda one: (one.started, one.trial)):
        best = record.rows[best_epoch(record.rows) - 1] if record.rows else {}
        writer.writerow(
            [
                record.trial,
                record.phase,
                record.status,
                record.cause.replace("\r", "\n"),  # which csv does not quote before Python 3.12
                *(cell(best.get(name)) for name in metrics),
                best.get("epoch", ""),
                len(record.rows),
                round(record.finished - record.started, 3),
                record.values.get("seed", config.seed),
                *(cell(record.values.get(field)) for field in fields),
            ]
        )
    return text.getvalue()


def cell(value: object) -> str:
    """Numbers as the shortest text that reads back the same; nothing for none."""
    return "" if value is None else repr(value) if isinstance(value, float) else value_text(value)


def first_line(cause: str) -> str:
    """What failures are grouped by: of a traceback its last line, of a message its first."""
    lines = cause.strip().splitlines() or [""]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


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
