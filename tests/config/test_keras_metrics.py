"""``train.metrics``: Keras' metrics by name, with what they take, checked in its source."""

from __future__ import annotations

import pytest

from nn_train.config import config_from_dict, config_to_dict, dump_yaml, keras_names, read_config
from nn_train.config.cli import parse_arguments
from nn_train.config.keras_metrics import column_of
from nn_train.errors import RequestError


@pytest.mark.parametrize(
    ("text", "metrics", "columns"),
    [
        ("none", [], []),
        ("AUC", ["AUC"], ["auc"]),
        ("F1Score, mae", ["F1Score", "MeanAbsoluteError"], ["f1_score", "mean_absolute_error"]),
        ("true_positives", ["TruePositives"], ["true_positives"]),
        ("accuracy,AUC", ["AUC"], ["auc"]),
        ("{F1Score: {average: macro}}", [{"F1Score": {"average": "macro"}}], ["f1_score"]),
        ("[AUC, {auc: {name: pr, curve: PR}}]", ["AUC", {"AUC": {"name": "pr", "curve": "PR"}}], ["auc", "pr"]),
        ("{AUC: {curve: none}, Poisson: }", ["AUC", "Poisson"], ["auc", "poisson"]),
    ],
)
def test_metrics_are_read_and_come_back_from_a_job_file(tmp_path, text, metrics, columns):
    config = parse_arguments(["--train.metrics", text]).config
    assert config_to_dict(config)["train"]["metrics"] == metrics
    assert [column_of(metric) for metric in config.train.metrics] == columns
    (tmp_path / "job.yaml").write_text(dump_yaml(config))
    assert read_config(str(tmp_path / "job.yaml"), {}) == config
    assert hash(config.train) == hash(config_from_dict(config_to_dict(config)).train)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("F1Scor", "train.metrics: 'F1Scor' is not known; did you mean 'F1Score'"),
        ("MeanIoU", "'MeanIoU' is not known; did you mean 'OneHotMeanIoU'"),
        ("AUC,AUC", "the column auc is there already; give this one a name: {AUC: {name: …}}"),
        ("{AUC: {name: loss}}", "the column loss is there already"),
        ("{AUC: {name: val_loss}}", "the column val_loss is there already"),
        ("{AUC: {name: examples}}", "the column examples is there already"),
        ("[F1Score, {AUC: {name: f1_score_0}}]", "the column f1_score_0 is there already"),
        ("{AUC: {name: a b}}", "AUC.name: 'a b' is not made of letters, digits and _"),
        ("{AUC: {curv: PR}}", "train.metrics: AUC.curv: it takes no argument of that name; did you mean 'curve'"),
        ("{AUC: {dtype: float64}}", "AUC.dtype: it takes no argument of that name; it takes: num_thresholds, "),
        ("{AUC: {multi_label: 2}}", "AUC.multi_label: 2 is not true or false"),
        ("PrecisionAtRecall", "PrecisionAtRecall: needs recall; give {PrecisionAtRecall: {recall: VALUE}}"),
        ("[[AUC]]", "['AUC'] is neither the name of a metric nor {name: {argument: value}}"),
        ("[AUC", "train.metrics: not valid YAML"),
    ],
)
def test_what_is_no_metric_is_refused_by_name(given, said):
    with pytest.raises(RequestError) as refused:
        parse_arguments(["--train.metrics", given])
    assert said in str(refused.value)


def test_another_kind_of_value_is_refused():
    with pytest.raises(RequestError, match=r"^train.metrics: 5 is not a list"):
        config_from_dict({"train": {"metrics": 5}})


def test_where_keras_is_not_found_every_metric_is_taken(monkeypatch):
    monkeypatch.setattr(keras_names, "exported", lambda module: {})
    assert config_from_dict({"train": {"metrics": [{"Newest": {"k": 1}}]}}).train.metrics == ({"Newest": {"k": 1}},)
