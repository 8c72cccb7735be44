"""MLflow's runs of a search: one for the search, and in it a child for each trial."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nn_train.config import Config, value_text
from nn_train.config.space import Space
from nn_train.runs.loggers import MLFLOW_RUN, experiment_name, fail_fast, numbers, parameters
from nn_train.search.journal import COMPLETED, FAILED, RUNNING, STOPPED, Record
from nn_train.search.results import at_best_epoch, first_line, step_of_best
from nn_train.storage.folder import ResultsFolder

PARENT, TRIAL, STATUS = "mlflow.parentRunId", "trial", "trial_status"  # tags; the first is MLflow's own
# A trial that was stopped has not trained its epochs: who filters for FINISHED gets those that can be compared.
ENDS = {COMPLETED: "FINISHED", STOPPED: "KILLED", FAILED: "FAILED"}


@dataclass
class Child:
    """The run of a trial that has not ended.

    Attributes:
        run_id: MLflow's.
        values: its parameters, as MLflow gives them.
        epochs: so many were logged.
    """

    run_id: str
    values: dict[str, str] = field(default_factory=dict)
    epochs: int = 0


class MLflowRuns:
    """A run in the experiment of the runs, at ``MLFLOW_TRACKING_URI``, with children.

    A search that goes on does so in its run, whose id stands in its folder, and a trial in its own: MLflow is asked
    which have not ended. MLflow's active run and experiment, which may be a notebook's, stay what they are.
    """

    def __init__(self, config: Config, space: Space, folder: ResultsFolder) -> None:
        import mlflow
        from mlflow import entities

        fail_fast()
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for each trial
        self.config, self.entities, self.client = config, entities, mlflow.MlflowClient()
        # What PBT changes on the way is known at the end, and a parameter of MLflow's cannot be changed.
        self.values_stay = config.search.scheduler != "pbt"
        name = experiment_name()
        found = self.client.get_experiment_by_name(name)
        self.experiment = found.experiment_id if found is not None else self.client.create_experiment(name)
        self.children: dict[str, Child] = {}
        if folder.exists(MLFLOW_RUN):
            self.parent = folder.read(MLFLOW_RUN).decode()
            self.client.update_run(self.parent, status="RUNNING")
            self.children = self.open_children()
        else:
            self.parent = self.begin_search()
            folder.write(MLFLOW_RUN, self.parent.encode())

    def begin_search(self) -> str:
        """The run of the search: its id."""
        search = self.config.search
        tags = {name: str(getattr(search, name)) for name in ("algorithm", "scheduler", "metric")}
        run_id: str = self.client.create_run(self.experiment, tags=tags, run_name=self.config.job_name).info.run_id
        self.client.log_batch(run_id, params=self.params(parameters(self.config)))
        return run_id

    def open_children(self) -> dict[str, Child]:
        """The trials that an earlier session has left open; they are marked as running."""
        found = f"tags.`{PARENT}` = '{self.parent}' and tags.{STATUS} = '{RUNNING}'"
        children = {}
        for run in self.client.search_runs([self.experiment], found):
            run_id = run.info.run_id
            self.client.update_run(run_id, status="RUNNING")
            # The metrics of an epoch come together, so each says how many epochs there are.
            names = list(run.data.metrics)[:1]
            steps = [one.step for name in names for one in self.client.get_metric_history(run_id, name)]
            children[run.data.tags[TRIAL]] = Child(run_id, dict(run.data.params), max(steps, default=0))
        return children

    def log(self, record: Record) -> None:
        """Write what is new of a trial; its values when it begins, or where they can change when it ends."""
        child, ended = self.child(record), record.status != RUNNING
        if not child.values and (ended or self.values_stay):
            self.client.log_batch(child.run_id, params=self.params(record.values))
            child.values = texts(record.values)
        # A trial that takes over another's weights takes over its epochs: which they are is known at its end.
        for row in record.rows[child.epochs :] if ended or self.values_stay else []:
            self.client.log_batch(child.run_id, self.metrics(numbers(row), row["epoch"]))
            child.epochs = row["epoch"]
        if ended:
            self.end(child, record)
            del self.children[record.trial]

    def child(self, record: Record) -> Child:
        """The run of a trial."""
        known = self.children.get(record.trial)
        if known is not None and known.values in ({}, texts(record.values)):
            return known
        if known is not None:  # another session drew other values under this name
            self.client.set_tag(known.run_id, STATUS, "given up")
            self.client.set_terminated(known.run_id, "KILLED")
        tags = {PARENT: self.parent, TRIAL: record.trial, STATUS: RUNNING, "phase": record.phase}
        began = int(record.started * 1000)
        made = self.client.create_run(self.experiment, began, tags, run_name=record.trial)
        self.children[record.trial] = Child(made.info.run_id)
        return self.children[record.trial]

    def end(self, child: Child, record: Record) -> None:
        """Its metrics at the best epoch, and how it ended."""
        tags = {STATUS: record.status, **({"cause": first_line(record.cause)[:500]} if record.cause else {})}
        best = self.metrics(at_best_epoch(record, self.config), step_of_best(record))
        self.client.log_batch(child.run_id, best, tags=[self.entities.RunTag(*tag) for tag in tags.items()])
        self.client.set_terminated(child.run_id, ENDS[record.status], int(record.finished * 1000))

    def close(self, status: str) -> None:
        """End the run of the search. Trials that were cut off are shown as killed; they go on when the search does."""
        for child in self.children.values():
            self.client.set_terminated(child.run_id, "KILLED")
        self.client.set_terminated(self.parent, status)

    def metrics(self, values: Mapping[str, float], step: int) -> list[Any]:
        """Numbers as MLflow takes them."""
        now = int(time.time() * 1000)
        return [self.entities.Metric(name, value, now, step) for name, value in values.items()]

    def params(self, values: Mapping[str, Any]) -> list[Any]:
        """Values as MLflow takes them."""
        return [self.entities.Param(name, text) for name, text in texts(values).items()]


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as MLflow keeps them."""
    return {name: value_text(value) for name, value in values.items()}
