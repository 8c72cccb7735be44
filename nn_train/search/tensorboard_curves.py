"""TensorBoard's files of a search: a folder for each trial, as a run has, and the HParams tab.

``EventFileWriter`` of the package ``tensorboard`` would import TensorFlow into the driver and keep a thread for each
file. So events are given to its ``RecordWriter``.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from nn_train.config import Config, value_text
from nn_train.config.space import Space, samples
from nn_train.runs.loggers import PARTS, scalars
from nn_train.search.journal import FAILED, RUNNING, Record
from nn_train.search.results import at_best_epoch, best_tags, step_of_best
from nn_train.storage.folder import ResultsFolder
from nn_train.storage.layout import TENSORBOARD

EVERY = 30.0  # seconds between two writes of a trial that runs


class TensorBoardCurves:
    """``tensorboard/<trial>/train`` and ``/validation`` with a run's tags, and ``tensorboard/<trial>`` for HParams.

    Each write makes new files of all that is known of a trial, in the place of the old ones: a trial may go on from an
    earlier epoch, or with another's weights.
    """

    def __init__(self, config: Config, space: Space, folder: ResultsFolder) -> None:
        self.config, self.folder = config, folder.inside(TENSORBOARD)
        self.folder.patient = False  # all trials wait meanwhile
        self.written_at: dict[str, float] = {}
        now = time.time()
        self.replace("", [experiment(space, list(best_tags(config).values()), now)], now)

    def log(self, record: Record) -> None:
        """Write what is known of a trial, if it has ended or was not written for a while."""
        now = time.monotonic()
        if record.status == RUNNING and now < self.written_at.setdefault(record.trial, now) + EVERY:
            return
        curves: dict[str, list[Any]] = {part: [] for part in PARTS}
        wall_time = record.started
        for row in record.rows:
            wall_time += row.get("seconds", 0.0)
            for part, tag, value in scalars(row):
                curves[part].append(scalar(tag, value, row["epoch"], wall_time))
        for part, events in curves.items():
            if events:
                self.replace(f"{record.trial}/{part}", events, record.started)
        self.replace(record.trial, self.session(record), record.started)
        self.written_at[record.trial] = now
        if record.status != RUNNING:
            del self.written_at[record.trial]

    def session(self, record: Record) -> list[Any]:
        """Return what HParams shows of a trial: the values that are not None, and at its end how it ended and its
        metrics."""
        given = {
            field: value if isinstance(value, bool | int | float | str) else value_text(value)
            for field, value in record.values.items()
            if value is not None
        }
        start = hparams_pb(given, trial_id=record.trial, start_time_secs=record.started)
        events = [Event(wall_time=record.started, summary=start)]
        if record.status == RUNNING:
            return events
        best = at_best_epoch(record, self.config)
        events += [scalar(tag, value, step_of_best(record), record.finished) for tag, value in best.items()]
        status = api_pb2.STATUS_FAILURE if record.status == FAILED else api_pb2.STATUS_SUCCESS
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=record.finished)
        return [*events, hparams(metadata.SESSION_END_INFO_TAG, record.finished, session_end_info=end)]

    def replace(self, where: str, events: Sequence[Any], wall_time: float) -> None:
        """Write events into a new file, the only one of its folder.

        A TensorBoard that runs looks for new files, and forgets at a session's start what it has read before.
        """
        version = Event(wall_time=wall_time, file_version="brain.Event:2")
        start = Event(wall_time=wall_time, session_log=SessionLog(status=SessionLog.START))
        file = io.BytesIO()
        writer = RecordWriter(file)
        for event in (version, start, *events):
            writer.write(event.SerializeToString())
        earlier = self.folder.names(where)
        self.folder.write(f"{where}/events.out.tfevents.{time.time_ns()}".lstrip("/"), file.getvalue())
        for name in earlier:
            self.folder.delete(f"{where}/{name}".lstrip("/"))

    def close(self, status: str) -> None:
        """Nothing is open."""


def scalar(tag: str, value: float, step: int, wall_time: float) -> Any:
    """Return the event of one number."""
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    return Event(wall_time=wall_time, step=step, summary=summary)


def experiment(space: Space, tags: Sequence[str], wall_time: float) -> Any:
    """Return the columns of HParams: the fields of a space, and scalars of the sessions by tag."""
    columns = api_pb2.Experiment(
        hparam_infos=[api_pb2.HParamInfo(name=field, type=type_of(field, space)) for field in space],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in tags],
        time_created_secs=wall_time,
    )
    return hparams(metadata.EXPERIMENT_TAG, wall_time, experiment=columns)


def hparams(tag: str, wall_time: float, **content: Any) -> Any:
    """Return the event that the plugin reads under ``tag``: it is all in the metadata."""
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
    value = Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
    return Event(wall_time=wall_time, summary=Summary(value=[value]))


def type_of(field: str, space: Space) -> Any:
    """Return the type of a column, by which its filter looks."""
    kinds = {type(values[field]) for values in samples(field, space)} - {type(None)}
    if kinds == {bool}:
        return api_pb2.DATA_TYPE_BOOL
    return api_pb2.DATA_TYPE_FLOAT64 if kinds <= {int, float} else api_pb2.DATA_TYPE_STRING
