"""The report: figures, page and files, from saved predictions and what is known of the runs.

``collect_runs`` begins an evaluation in a folder, ``load_inputs`` reads it back. What writes the report is
``render`` in ``nn_train.report.render``, apart, since it imports Matplotlib and scikit-learn.
"""

from nn_train.report.inputs.run_folders import find_runs
from nn_train.report.inputs.runs import ReportInputs, RunRecord, collect_runs, load_inputs

__all__ = ["ReportInputs", "RunRecord", "collect_runs", "find_runs", "load_inputs"]
