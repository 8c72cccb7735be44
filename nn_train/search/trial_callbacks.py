"""How trials end: each is recorded in the journal as completed, stopped or failed, and the search is ended in time."""

from __future__ import annotations

import bisect
import time
from typing import Any

from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial

from nn_train.config import Config
from nn_train.config.space import Space, resolve
from nn_train.events import Handler, TrialEnded
from nn_train.runs.loggers import Loggers
from nn_train.search.algorithms import is_listed
from nn_train.search.journal import COMPLETED, FAILED, RUNNING, STOPPED, Journal, Record, forget_trial, trial_folder
from nn_train.search.phases import CONFIRM, SEARCH, contenders, reaches
from nn_train.search.warm.promise import PROMISE
from nn_train.storage.folder import ResultsFolder

HOPELESS = 10  # when so many first trials fail, and no other ends, the others will fail as well
DRAWS = "draws.json"  # of a trial that has begun, where they cannot be drawn again


class Watcher(Callback, tune.Stopper):
    """Journals the trials of one phase, keeps only the best models, and stops at target, failures or time.

    Args:
        phase: its name.
        deadline: when to stop, in seconds since 1970; None: never.
        loggers: told of each epoch and each end.
        last_attempt: whether a lost trial is recorded as failed; else it is left open, to be run again.

    Attributes:
        lost: names of the trials to run again.
        reason: why the phase was ended before all its trials had; empty if it was not.
        broken: that the search cannot go on as it was asked for; else empty.
    """

    def __init__(
        self,
        config: Config,
        space: Space,
        folder: ResultsFolder,
        journal: Journal,
        phase: str,
        deadline: float | None,
        on_event: Handler,
        loggers: Loggers,
        last_attempt: bool = True,
    ) -> None:
        self.config, self.space, self.folder, self.journal = config, space, folder, journal
        self.phase, self.deadline, self.on_event = phase, deadline, on_event
        self.loggers, self.last_attempt = loggers, last_attempt
        self.reason, self.broken, self.failed = "", "", 0
        self.lost: set[str] = set()
        self.started: dict[str, float] = {}
        self.recorded: set[str] = set()
        self.sign = 1 if config.search.lower_is_better else -1
        # Not those that confirmed: they are chosen from later, whatever their single values.
        kept = contenders(config, journal.records)[: config.search.keep_best]
        self.kept = [(self.sign * float(record.value(config.search.metric) or 0), record.trial) for record in kept]

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune writes its callbacks down for a restore that is not used; what ``on_event`` holds may not be

    def __deepcopy__(self, memo: dict[int, Any]) -> Watcher:
        return self

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if not self.reason and self.deadline is not None and time.time() > self.deadline:
            self.reason = f"the time budget of {self.config.search.time_budget:g} s is used up"
        return bool(self.reason)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Trial, **info: object) -> None:
        name = trial.config["trial"]
        self.started.setdefault(name, time.time())
        if self.phase == SEARCH and not is_listed(self.config.search):
            trial_folder(self.folder, name).write_json(DRAWS, trial.config["draws"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Trial, result: dict[str, Any], **info: object
    ) -> None:
        if result["cause"].startswith(PROMISE) and not self.broken:
            self.broken = self.reason = result["cause"]
        if trial.config["trial"] in self.started and not result["ended"]:  # else its end is told at once
            self.loggers.log(trial.config["trial"], self.record(trial.config, result, RUNNING, ""))
        if self.phase == CONFIRM:
            return  # which needs every seed, and all its epochs
        if not self.reason and not result["cause"] and reaches(result["value"], self.config):
            self.reason = f"{trial.config['trial']} reached the target"
            # Now: Tune will end all trials without another word.
            status, cause = (COMPLETED, "") if result["ended"] else (STOPPED, "reached the target")
            self.record_end(trial.config, result, status, cause)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Trial, **info: object) -> None:
        result = trial.last_result or {}
        if trial.config["trial"] in self.recorded:
            pass  # taken down when it reached the target
        elif self.broken and (result.get("cause") or "").startswith(PROMISE):
            pass  # no fault of the trial, which is run when the search goes on
        elif result.get("cause"):
            self.record_end(trial.config, result, FAILED, result["cause"])
        elif result.get("ended"):
            self.record_end(trial.config, result, COMPLETED, "")
        elif not self.reason:
            self.record_end(trial.config, result, STOPPED, f"{self.config.search.scheduler}: not among the best")
        # else: it was cut off when the search ended, and goes on when the search does
        forget_numbers(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Trial, **info: object) -> None:
        name = trial.config["trial"]
        if name in self.lost or name in self.recorded:
            return  # Tune may say it twice
        if trial.should_recover() and not self.last_attempt:
            self.lost.add(name)  # Tune gives up at once what is lost between two trials of a process
            self.started.pop(name, None)
        else:
            self.record_end(trial.config, trial.last_result or {}, FAILED, why_lost(trial))

    def record_end(self, point: dict[str, Any], result: dict[str, Any], status: str, cause: str) -> None:
        """Write the record of a trial that has ended."""
        record = self.record(point, result, status, cause)
        self.started.pop(record.trial, None)
        self.loggers.log(record.trial, record)  # first: what is in the journal is not run, and logged, again
        self.journal.add(record)
        self.recorded.add(record.trial)
        self.keep_models(record)
        if status == FAILED:
            self.failed += 1
            limit = self.config.search.max_failed_trials
            hopeless = self.failed == len(self.journal.records) >= HOPELESS
            if not self.reason and (hopeless or (limit is not None and self.failed >= limit)):
                self.reason = f"{self.failed} trials failed" + (", and no other was run" if hopeless else "")
        self.on_event(TrialEnded(record.trial, status, record.value(self.config.search.metric), record.rows))

    def record(self, point: dict[str, Any], result: dict[str, Any], status: str, cause: str) -> Record:
        """What is known of a trial by now."""
        at_best = result if status != FAILED else {}  # which has failed with what it is trained with now
        return Record(
            trial=point["trial"],
            phase=self.phase,
            status=status,
            cause=cause,
            draws=dict(at_best.get("draws") or point.get("draws") or {}),
            values=at_best.get("values") or point.get("values") or resolve(self.space, point["draws"]),
            mixed=at_best.get("mixed", False),
            rows=result.get("rows", []),
            epochs=self.config.train.epochs,
            started=self.started.get(point["trial"], time.time()),
            finished=time.time(),
        )

    def keep_models(self, record: Record) -> None:
        """Delete what no longer belongs to the best models of the whole search."""
        value = record.value(self.config.search.metric)
        if self.phase == CONFIRM:
            return  # a few, of which the end of the search chooses
        if value is None:
            forget_trial(self.folder, record.trial)
            return
        bisect.insort(self.kept, (self.sign * value, record.trial))
        if len(self.kept) > self.config.search.keep_best:
            forget_trial(self.folder, self.kept.pop()[1])


def forget_numbers(trial: Trial) -> None:
    """Let go of what Tune keeps of a trial that has ended and nobody reads: 25 KB."""
    known = trial.run_metadata
    known.metric_analysis, known.metric_n_steps = {}, {}
    # What Tune's own table shows; without any result it would ask the trial's process.
    known.last_result = {"done": True, **{name: known.last_result.get(name) for name in ("epoch", "value", "worn")}}


def why_lost(trial: Trial) -> str:
    """Why Tune gave a trial up, in one line."""
    text = str(trial.get_pickled_error() or "")
    if "OutOfMemory" in text or "memory monitor" in text:
        return "out of memory: Ray killed the worker; lower train.batch_size, or give a trial more CPUs of its node"
    lines = [line for line in text.splitlines() if line.strip()]
    return f"the worker was lost: {lines[0].strip()}" if lines else "the worker was lost"
