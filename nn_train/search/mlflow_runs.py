"""MLflow's runs of a search: one for the search, and in it a child for each trial."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from nn_train.config import Config, config_to_dict, value_text
from nn_train.config.space import Space
from nn_train.runs.loggers import MLFLOW_RUN, experiment_name, numbers, parameters
from nn_train.search.journal import COMPLETED, FAILED, RUNNING, STOPPED, Record
from nn_train.search.results import at_best_epoch, first_line, step_of_best
from nn_train.storage.folder import ResultsFolder

PARENT, TRIAL, STATUS = "mlflow.parentRunId", "trial", "trial_status"  # tags; the first is MLflow's own
# A trial that was stopped has not trained its epochs: who filters for FINISHED gets those that can be compared.
ENDS = {COMPLETED: "FINISHED", STOPPED: "KILLED", FAILED: "FAILED"}


class MLflowRuns:
    """A run in the experiment of the runs, at ``MLFLOW_TRACKING_URI``, with children.

    A search that resumes does so in its run, whose id stands in its folder. A trial that was cut off begins another.
    MLflow's active run and experiment, which may be a notebook's, stay what they are.
    """

    def __init__(self, config: Config, space: Space, folder: ResultsFolder) -> None:
        import mlflow
        from mlflow import entities

        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for each trial
        self.config, self.entities, self.client = config, entities, mlflow.MlflowClient()
        # What PBT changes on the way is known at the end, and a parameter of MLflow's cannot be changed.
        self.values_stay = config.search.scheduler != "pbt"
        name = experiment_name()
        found = self.client.get_experiment_by_name(name)
        self.experiment = found.experiment_id if found is not None else self.client.create_experiment(name)
        self.children: dict[str, str] = {}  # their runs, of trials that have not ended
        self.logged: dict[str, int] = {}  # epochs by run
        if folder.exists(MLFLOW_RUN):
            self.parent = folder.read(MLFLOW_RUN).decode()
            self.client.update_run(self.parent, status="RUNNING")
            self.give_up_children()
        else:
            self.parent = self.begin_search()
            folder.write(MLFLOW_RUN, self.parent.encode())

    def begin_search(self) -> str:
        """The run of the search: its id."""
        search = self.config.search
        tags = {name: str(getattr(search, name)) for name in ("algorithm", "scheduler", "metric")}
        run_id: str = self.client.create_run(self.experiment, tags=tags, run_name=self.config.job_name).info.run_id
        self.client.log_batch(run_id, params=self.params(parameters(config_to_dict(self.config))))
        return run_id

    def give_up_children(self) -> None:
        """End the runs of trials that an earlier session has left open."""
        left = f"tags.`{PARENT}` = '{self.parent}' and tags.{STATUS} = '{RUNNING}'"
        for run in self.client.search_runs([self.experiment], left):
            self.client.set_tag(run.info.run_id, STATUS, "cut off")
            self.client.set_terminated(run.info.run_id, "KILLED")

    def log(self, record: Record) -> None:
        """Write what is new of a trial; its values with each epoch, or where they can change when it ends."""
        if record.trial not in self.children:
            self.children[record.trial] = self.begin(record)
        run_id, ended, values = self.children[record.trial], record.status != RUNNING, self.params(record.values)
        # A trial that takes over another's weights takes over its epochs: which they are is known at its end.
        for row in record.rows[self.logged.get(run_id, 0) :] if ended or self.values_stay else []:
            self.client.log_batch(run_id, self.metrics(numbers(row), row["epoch"]), values)
            self.logged[run_id] = row["epoch"]
        if ended:
            self.end(self.children.pop(record.trial), record)

    def begin(self, record: Record) -> str:
        """Make the run of a trial: its id."""
        tags = {PARENT: self.parent, TRIAL: record.trial, STATUS: RUNNING, "phase": record.phase}
        made = self.client.create_run(self.experiment, int(record.started * 1000), tags, run_name=record.trial)
        return str(made.info.run_id)

    def end(self, run_id: str, record: Record) -> None:
        """Write the metrics at the best epoch, and how the trial ended."""
        tags = {STATUS: record.status, **({"cause": first_line(record.cause)[:500]} if record.cause else {})}
        best = self.metrics(at_best_epoch(record, self.config), step_of_best(record))
        tagged = [self.entities.RunTag(*tag) for tag in tags.items()]
        self.client.log_batch(run_id, best, self.params(record.values), tagged)
        self.client.set_terminated(run_id, ENDS[record.status], int(record.finished * 1000))

    def close(self, status: str) -> None:
        """End the run of the search. Trials that were cut off are shown as killed."""
        for run_id in self.children.values():
            self.client.set_terminated(run_id, "KILLED")
        self.client.set_terminated(self.parent, status)

    def metrics(self, values: Mapping[str, float], step: int) -> list[Any]:
        """Numbers as MLflow takes them."""
        now = int(time.time() * 1000)
        return [self.entities.Metric(name, value, now, step) for name, value in values.items()]

    def params(self, values: Mapping[str, Any]) -> list[Any]:
        """Values as MLflow takes them."""
        return [self.entities.Param(name, value_text(value)) for name, value in values.items()]
