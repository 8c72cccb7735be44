"""What a pipeline runs: the configs of its searches and trainings, made from one job file. No Ray here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nn_train.config import Config, config_from_flat
from nn_train.config.parse import config_to_dict, flatten
from nn_train.config.space import with_values
from nn_train.errors import RequestError

REPORT = "report"
# What the models share: they are trained on the same workers, into the pipeline's folder.
RESERVED = ("name", "run.", "scaling.", "pipeline.")


@dataclass(frozen=True)
class ModelStages:
    """The stages of one model.

    Attributes:
        name: its key in ``pipeline.models``.
        search: the job of its search; None where its space is empty.
        base: its training with the first seed, without what the search finds.
        seeds: how many trainings there are.
    """

    name: str
    search: Config | None
    base: Config
    seeds: int

    def trainings(self, found: Mapping[str, Any]) -> list[Config]:
        """The trainings, with the values that the search chose (field to value)."""
        seeds = range(self.base.seed, self.base.seed + self.seeds)
        return [with_values(self.base, {**found, "seed": seed, "name": f"{self.name}_seed{seed}"}) for seed in seeds]


def pipeline_config(config: Config, overrides: Mapping[str, Any], quick: bool) -> Config:
    """The pipeline that is run: with ``quick`` and what its section of the file says, a smaller one."""
    changes = flatten(config.pipeline.quick) if quick else {}
    whole = flatten(config_to_dict(config, stages=("search", "pipeline")))
    return named("pipeline.quick", {**whole, **changes, **overrides})


def model_stages(config: Config, overrides: Mapping[str, Any], quick: bool) -> list[ModelStages]:
    """The stages of every model.

    What is said of a field wins in this order: ``overrides`` (the command line), ``pipeline.quick`` where ``quick``
    is asked for, the model's own entry, the rest of the job file.

    Raises:
        RequestError: there is no model, or an entry is wrong.
    """
    if not config.pipeline.models:
        raise RequestError("pipeline.models: is empty; name the models to train, as in the preset mnist")
    whole = pipeline_config(config, overrides, quick)
    late = {**(flatten(config.pipeline.quick) if quick else {}), **overrides}
    for_models = {key: value for key, value in late.items() if not key.startswith(("name", "pipeline."))}
    shared = flatten(config_to_dict(config, stages=("search",)))
    place = {"run.storage_path": pipeline_folder(whole)}
    stages = []
    for name, entry in config.pipeline.models.items():
        path = f"pipeline.models.{name}"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
            raise RequestError(f"{path}: cannot name a folder; allowed: up to 40 letters, digits, '_' and '-'")
        if not isinstance(entry or {}, Mapping):
            raise RequestError(f"{path}: expected sections below it, got {entry!r}")
        own = flatten(entry or {})
        if reserved := [key for key in own if key.startswith(RESERVED)]:
            raise RequestError(f"{path}: {reserved[0]} belongs to the whole pipeline; write it at the top of the file")
        fields = {**shared, **own, **for_models, **place}
        trained = named(path, {**fields, "name": name})
        size = {"scaling.num_workers": whole.pipeline.workers_per_trial, "scaling.min_workers": None}
        trial = {"name": f"search_{name}", **size}
        search = named(path, {**fields, **trial}) if trained.search.space else None
        named("pipeline.seeds", {"seed": trained.seed + whole.pipeline.seeds - 1})  # the last one
        stages.append(ModelStages(name, search, trained, whole.pipeline.seeds))
    return stages


def pipeline_folder(config: Config) -> str:
    """The path or URI under which everything of the pipeline lies."""
    place, mark, options = config.run.storage_path.partition("?")
    return f"{place.rstrip('/')}/{config.job_name}{mark}{options}"


def named(path: str, fields: Mapping[str, Any]) -> Config:
    """A config whose refusal says which part of the job file it comes from."""
    try:
        return config_from_flat(fields)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from None
