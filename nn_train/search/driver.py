"""``search(config)``: from a space to trials, the best config and the best models, by way of Ray Tune."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nn_train.config import Config, dump_yaml
from nn_train.config.space import Space, drawn, parse_space
from nn_train.engine.keras_names import check_keras_names
from nn_train.errors import RequestError, TrainingError
from nn_train.events import Handler, Waiting, Warned, unheard
from nn_train.runs.own_code import changed, note_code, own_code
from nn_train.runs.preflight import check_early, config_differences, earlier_config, refuse_other_code
from nn_train.search.compared import check_metric
from nn_train.search.journal import Journal, Record
from nn_train.search.phases import PHASES
from nn_train.search.results import choose, first_line, write_results
from nn_train.storage import layout
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.lease import hold

if TYPE_CHECKING:
    from nn_train.search.ray_tune import Session


@dataclass(frozen=True)
class SearchOutcome:
    """A finished search.

    Attributes:
        folder: its path or URI, with ``trials.csv``, ``search.json``, ``best.yaml`` and ``best/``.
        records: every trial that ended, in that order.
        best: the chosen trial.
        summary: the content of ``search.json``.
        ran: trials that this call ran; 0 when the search was already finished.
    """

    folder: str
    records: list[Record] = dataclasses.field(repr=False)
    best: Record
    summary: dict[str, Any] = dataclasses.field(repr=False)
    ran: int


def search(config: Config, on_event: Handler = unheard, verbose: bool = False) -> SearchOutcome:
    """Search the space of ``config.search``, or go on with the search of the same name.

    Args:
        config: the job that every trial varies; ``train.epochs`` is the most that a trial trains.
        on_event: called with every event: ``PhaseStarted``, ``TrialEnded``, ``WritingModels``,
            ``Waiting``, ``Warned``, and ``Line`` where data are converted.
        verbose: let the logs of Ray and TensorFlow through.

    Raises:
        RequestError: the space or the request is wrong, a trial does not fit the cluster, or another search
            has the same name.
        TrainingError: no trial has the metric.
        KeyboardInterrupt: Ctrl-C; the same command goes on with the search.
    """
    space = check_request(config, on_event)
    with hold([search_folder(config)], lambda text: on_event(Waiting(text))):
        session = begin_session(config, space, on_event, verbose)
        folder, journal = session.folder, session.journal
        known, began = len(journal.records), time.time()
        summary = folder.read_json(layout.SEARCH)
        written = sum(summary["trials"].values()) if summary is not None else 0
        # Fewer than known: it was killed before the summary was written.
        other = changed(
            (folder.read_json(layout.CODE) or {}).get("modules", {}), own_code(config.functions.values())["modules"]
        )
        if summary is None or written < known or any(map(session.open_in, PHASES)):
            if other:
                on_event(
                    Warned(f"{', '.join(other)} changed since the earlier trials: those to come are of other code")
                )
            summary = run_session(session, (summary or {}).get("seconds", 0.0), began)
        else:
            refuse_other_code(folder, "search", other)
    best, _ = choose(config, journal)
    if best is None:
        cause = first_line(journal.records[-1].cause) or f"its epochs have no {config.search.metric}"
        raise TrainingError(
            f"no trial has {config.search.metric}: {cause}; all trials are in {folder.path(layout.TRIALS)}"
        )
    return SearchOutcome(folder.location, journal.records, best, summary, len(journal.records) - known)


def plan(config: Config, verbose: bool = False) -> list[str]:
    """What ``search(config)`` would run and cost, in words. Nothing is written. Raises RequestError as it does."""
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, overwrite=False))
    with begin_session(config, check_request(config), unheard, verbose) as session:
        return session.plan()


def check_request(config: Config, on_event: Handler = unheard) -> Space:
    """The space. RequestError for what can be seen before anything is written."""
    space = check_search(config)
    check_folder(search_folder(config), config)
    check_early(config, space, on_event)
    from nn_train.ray_cluster.serialization import pack
    from nn_train.search.algorithms import check_algorithm
    from nn_train.search.schedulers import make_scheduler

    pack(config.functions.values())  # before anything is replaced
    check_algorithm(config.search, drawn(space))
    make_scheduler(config, drawn(space))
    return space


def search_folder(config: Config) -> ResultsFolder:
    return ResultsFolder(config.run.storage_path, config.job_name)


def begin_session(config: Config, space: Space, on_event: Handler, verbose: bool) -> Session:
    """Read what is known of the search, or with ``run.overwrite`` remove it."""
    from nn_train.search.ray_tune import Session

    folder = search_folder(config)
    check_folder(folder, config)  # again: until now another job could write there
    if config.run.overwrite:
        folder.clear()
    return Session(config, space, folder, Journal(folder), on_event, verbose)


def run_session(session: Session, seconds_before: float, began: float) -> dict[str, Any]:
    """Run what is open; the results are written also when that is interrupted. Returns ``search.json``."""
    config, folder, journal = session.config, session.folder, session.journal
    code = own_code(config.functions.values())

    def write(ended: str) -> dict[str, Any]:
        return write_results(config, folder, journal, seconds_before + time.time() - began, ended, code)

    try:
        with session:
            folder.write(layout.CONFIG, dump_yaml(config, stages=("search",)).encode())
            code, _ = note_code(code, folder, len(journal.records))
            ended = session.run()
            if not journal.records:
                raise TrainingError(f"no trial ended: {ended or 'all were lost'}")
            session.keep_models(choose(config, journal)[1], code)
    except KeyboardInterrupt:
        if journal.records:
            write("interrupted")
        raise KeyboardInterrupt(f"The search in {folder.location} goes on with the same command.") from None
    return write(ended)


def check_search(config: Config) -> Space:
    """The space; RequestError for a search that cannot choose."""
    if not config.search.space:
        raise RequestError("search.space: is empty; name the fields to vary, as in the preset tune_mnist_mlp")
    space = parse_space(config.search.space, config, lambda job: check_keras_names(job.optimizer, job.train))
    check_metric(config, space)
    return space


def check_folder(folder: ResultsFolder, config: Config) -> None:
    """RequestError when the folder holds something else than this search, perhaps with fewer trials or epochs."""
    if not folder.exists(layout.CONFIG):
        if not folder.is_empty():
            raise RequestError(f"name: {folder.location} exists and is not a search; give another --name")
        return
    earlier = earlier_config(folder)
    if not earlier.search.space:
        raise RequestError(f"name: {folder.location} holds a run, not a search; give another --name")
    if config.run.overwrite:
        return
    differences = [one for one in config_differences(earlier, config) if not one.startswith("train.epochs:")]
    for name in ("metric", "lower_is_better"):
        before, now = getattr(earlier.search, name), getattr(config.search, name)
        if before != now:
            differences.append(f"search.{name}: {before} → {now}")
    if config.train.epochs < earlier.train.epochs:
        differences.append(f"train.epochs: {earlier.train.epochs} → {config.train.epochs}, less than before")
    if differences:
        raise RequestError(
            f"name: {folder.location} holds a search of another job ({'; '.join(differences[:5])}); give another "
            "--name, or --run.overwrite true to replace it"
        )
