"""The names of the files and folders of runs, searches and trials."""

from __future__ import annotations

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
MODEL = "model.keras"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
CODE = "code.json"  # of the user's: which the epochs of a run, or the trials of a search, are trained with
DATA = "data.json"  # by what the data are known again with which a run began
LOGS = "logs"  # of a run or trial: what its workers printed
# Of a finished search; the runs of its best models are folders in ``best``.
SEARCH = "search.json"
TRIALS = "trials.csv"
BEST_RUNS = "best"
