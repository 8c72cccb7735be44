"""Which runs repeat each other with another seed, what tells the others apart, and which one to pick."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nn_train.report.inputs.run_folders import RunFiles
from nn_train.report.inputs.runs import RunRecord

NOT_A_SETTING = ("name", "seed")
NOT_OF_TRAINING = ("run", "evaluation")  # sections: where results go and how they are judged does not change them
SELECTION_METRICS = (("val_accuracy", True), ("val_loss", False))


@dataclass(frozen=True)
class Group:
    """Runs of one configuration that differ in their seed only; ``label`` is unique in a report."""

    label: str
    runs: tuple[RunRecord, ...]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """The run and the group that the report is about, chosen before any test result is looked at.

    Attributes:
        metric: the validation metric, or None when no run has one; then nothing is selected.
        group, run: label and name of what was selected; ``run`` has the best ``value`` in its group.
    """

    metric: str | None
    value: float | None
    group: str | None
    run: str | None


def settings_of(record: RunFiles) -> dict[str, Any]:
    """``section.field`` to value for every setting that can change the result, with defaults of the user's functions;
    ``code`` and ``data.sha256`` are marks of the user's code and of what was read from files."""
    flat: dict[str, Any] = {}
    for section, content in record.config.items():
        if isinstance(content, dict):
            named = {f"{section}.{name}": value for name, value in content.items() if section not in NOT_OF_TRAINING}
            for name, value in named.items():  # the arguments of a function of the user's one by one
                flat.update(
                    {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
                )
        elif section not in NOT_A_SETTING:
            flat[section] = content
    if not flat:
        return flat
    arguments = record.result.get("arguments")  # None: of an earlier version
    for owner, values in (arguments or {}).items():
        flat = {**{f"{owner}.{name}": value for name, value in values.items()}, **flat}
    data, modules = record.result.get("data") or {}, (record.result.get("code") or {}).get("modules")
    if modules:
        flat["code"] = mark_of(modules)
    is_read = arguments is not None and "data.args" not in arguments  # a function may draw with the seed
    if is_read and data.get("sha256"):
        flat["data.sha256"] = mark_of(data["sha256"])
    return flat


def mark_of(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def repeats(runs: Sequence[RunFiles]) -> dict[int, int]:
    """Which runs are the same training as an earlier one, of the same settings, code and seed: by position."""
    first: dict[str, int] = {}
    found = {}
    for at, run in enumerate(runs):
        settings, seed = settings_of(run), run.result.get("seed")
        if settings and seed is not None:
            earlier = first.setdefault(json.dumps([settings, seed], sort_keys=True, default=str), at)
            if earlier != at:
                found[at] = earlier
    return found


def group_runs(records: Sequence[RunRecord]) -> list[Group]:
    """Groups in the order of their first run. A run without a config is a group of its own."""
    members: dict[str, list[RunRecord]] = {}
    for record in records:
        settings = settings_of(record)
        key = json.dumps(settings, sort_keys=True, default=str) if settings else f"run {record.stem}"
        members.setdefault(key, []).append(record)
    of_groups = [settings_of(runs[0]) for runs in members.values()]
    labels = label_groups(of_groups, [runs[0].name for runs in members.values()])
    return [
        Group(label, tuple(runs), its) for label, runs, its in zip(labels, members.values(), of_groups, strict=True)
    ]


def differing_fields(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The fields that do not have one value everywhere, in the order of the config."""
    fields = dict.fromkeys(name for one in settings for name in one)
    return [name for name in fields if len({json.dumps(one.get(name), default=str) for one in settings}) > 1]


def label_groups(settings: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Short unique labels: the model, then only as many differing fields as are needed to be unique."""
    labels = [str(one.get("model.name", name)) for one, name in zip(settings, names, strict=True)]
    for name in differing_fields(settings):
        shared = {label for label in labels if labels.count(label) > 1}
        among = [one for one, label in zip(settings, labels, strict=True) if label in shared]
        if name in differing_fields(among):
            labels = [
                f"{label}, {name.split('.')[-1]} {shown(one.get(name))}" if label in shared else label
                for one, label in zip(settings, labels, strict=True)
            ]
    return [label if labels.index(label) == i else f"{label} ({i + 1})" for i, label in enumerate(labels)]


def shown(value: object) -> str:
    """A setting in a label: of a number that was drawn at random four digits are enough to know it by."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def best_validation(record: RunRecord, metric: str) -> float | None:
    """A validation metric at the epoch whose weights were kept."""
    value = ((record.result.get("metrics") or {}).get("best") or {}).get(metric)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def select(groups: Sequence[Group], usable: set[str]) -> Selection:
    """The group with the best mean validation metric over its seeds, and the best run in it.

    Accuracy decides where any run has it, else loss; equal means go to the earlier group. Only the runs
    named in ``usable`` (those with predictions) can be selected.
    """
    for metric, larger_is_better in SELECTION_METRICS:
        sign = 1.0 if larger_is_better else -1.0
        ranked = []
        for group in groups:
            known = [(best_validation(run, metric), run) for run in group.runs if run.name in usable]
            scored = [(sign * value, run) for value, run in known if value is not None]
            if scored:
                mean = math.fsum(score for score, _ in scored) / len(scored)
                ranked.append((mean, group, max(scored, key=lambda pair: pair[0])))
        if ranked:
            _, group, (score, run) = max(ranked, key=lambda entry: entry[0])
            return Selection(metric, sign * score, group.label, run.name)
    return Selection(None, None, None, None)
