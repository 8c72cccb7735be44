"""Events of TensorBoard as the bytes of its files, by the package ``tensorboard`` alone: TensorFlow is not imported."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.record_writer import RecordWriter

from nn_train.config import value_text
from nn_train.config.space import By, Domain, Fixed, Space, Times


def opening(wall_time: float) -> bytes:
    """What a file begins with. A TensorBoard that has shown an earlier file of the folder then forgets that one."""
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    version = event_pb2.Event(wall_time=wall_time, file_version="brain.Event:2")
    return as_bytes(version) + as_bytes(event_pb2.Event(wall_time=wall_time, session_log=start))


def scalars(values: Mapping[str, float], step: int, wall_time: float) -> bytes:
    """Numbers of one step by tag."""
    entries = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    return as_bytes(event_pb2.Event(wall_time=wall_time, step=step, summary=summary_pb2.Summary(value=entries)))


def hparams_start(name: str, values: Mapping[str, Any], wall_time: float) -> bytes:
    """A session of the HParams tab: the trial ``name`` with these values by field; one that is None was not given."""
    given = {
        field: value if isinstance(value, bool | int | float | str) else value_text(value)
        for field, value in values.items()
        if value is not None
    }
    start = summary_v2.hparams_pb(given, trial_id=name, start_time_secs=wall_time)
    return as_bytes(event_pb2.Event(wall_time=wall_time, summary=start))


def hparams_end(failed: bool, wall_time: float) -> bytes:
    """That session has ended."""
    status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=wall_time)
    return hparams(metadata.SESSION_END_INFO_TAG, wall_time, session_end_info=end)


def hparams_experiment(space: Space, tags: Sequence[str], wall_time: float) -> bytes:
    """The columns of the HParams tab: the fields of a space, and scalars of the sessions by tag."""
    experiment = api_pb2.Experiment(
        hparam_infos=[api_pb2.HParamInfo(name=field, type=type_of(spec)) for field, spec in space.items()],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in tags],
        time_created_secs=wall_time,
    )
    return hparams(metadata.EXPERIMENT_TAG, wall_time, experiment=experiment)


def hparams(tag: str, wall_time: float, **content: Any) -> bytes:
    """What the plugin reads under ``tag``: it is all in the metadata."""
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
    value = summary_pb2.Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
    return as_bytes(event_pb2.Event(wall_time=wall_time, summary=summary_pb2.Summary(value=[value])))


def type_of(spec: Domain | Times | By) -> Any:
    """What a column holds: how its filter looks."""
    kinds = {type(value) for value in possible(spec) if value is not None}
    if kinds == {bool}:
        return api_pb2.DATA_TYPE_BOOL
    return api_pb2.DATA_TYPE_FLOAT64 if kinds <= {int, float} else api_pb2.DATA_TYPE_STRING


def possible(spec: Domain | Times | By | Fixed) -> Iterator[Any]:
    """Values of each type that a field can have."""
    if isinstance(spec, Domain):
        yield from spec.values
    elif isinstance(spec, Fixed):
        yield spec.value
    elif isinstance(spec, By):
        for _, branch in spec.branches:
            yield from possible(branch)


def as_bytes(event: Any) -> bytes:
    """An event as it stands in a file."""
    file = io.BytesIO()
    RecordWriter(file).write(event.SerializeToString())
    return file.getvalue()
