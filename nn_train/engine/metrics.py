"""The metrics that a job names, given the labels in the one form that the loss and all of them take.

Keras has two classes for what is counted of whole-number labels and of a number for each class; a job means either by
either's name. Only Keras' own classes: a saved model then opens without this package.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import keras

from nn_train.config.schema import METRICS, Metric, TrainConfig
from nn_train.engine.keras_names import column_of, keras_class, metric_parts
from nn_train.engine.models import gives_probabilities
from nn_train.errors import RequestError, first_line

OF_LABELS = "Sparse"  # how the names of classes begin that take whole-number labels [N]
OF_THRESHOLDS = ("threshold", "thresholds", "num_thresholds")
OF_PROBABILITIES = ("KLDivergence", "Poisson")


def class_for(metric: Metric, one_hot: bool) -> str:
    """The class that counts the same of labels in that form, where there is one that takes the same arguments."""
    named, args = metric_parts(metric)
    of_each = named.__name__.removeprefix(OF_LABELS)
    of_labels = getattr(keras.metrics, OF_LABELS + of_each, None)
    if one_hot or of_labels is None or not set(args) <= set(inspect.signature(of_labels).parameters):
        return of_each
    return OF_LABELS + of_each


def only_one_hot(metrics: Iterable[Metric]) -> list[str]:
    """The names of those that cannot be counted of whole-number labels."""
    return [metric_parts(one)[0].__name__ for one in metrics if not class_for(one, one_hot=False).startswith(OF_LABELS)]


def make_metrics(
    train: TrainConfig, model: keras.Model, one_hot: bool, numbers: bool = False
) -> list[keras.metrics.Metric]:
    """Accuracy, and what ``train.metrics`` names.

    Args:
        train: the job's section.
        model: with one output [N, C]; its last layer tells whether it gives probabilities.
        one_hot: whether labels are a number for each output [N, C] instead of whole numbers [N].
        numbers: whether the targets are those of a regression, which has no accuracy.

    Raises:
        RequestError: a metric takes probabilities, and the model gives logits; Keras refuses its arguments.
    """
    accuracy = keras.metrics.CategoricalAccuracy if one_hot else keras.metrics.SparseCategoricalAccuracy
    if numbers:
        return [make_metric(one, train.loss, model, one_hot=True) for one in train.metrics]
    return [accuracy(name="accuracy"), *(make_metric(one, train.loss, model, one_hot) for one in train.metrics)]


def make_metric(metric: Metric, loss: str, model: keras.Model, one_hot: bool) -> keras.metrics.Metric:
    """One of them, which knows whether it is given logits where it can."""
    named, args = metric_parts(metric)
    name, made = named.__name__, getattr(keras.metrics, class_for(metric, one_hot))
    takes = inspect.signature(made).parameters
    # Then each output is a probability of its own, or the logit of one.
    binary = keras_class("train.loss", "losses", loss).__name__.startswith("Binary")
    of_each_output = binary or name.startswith("Binary")
    told = "from_logits" in takes and (of_each_output or "num_thresholds" not in takes)  # AUC takes those of a sigmoid
    if name.startswith("Binary") and not binary and not gives_probabilities(model, binary=True):
        told = False  # the logits of a softmax are none of a sigmoid
    if told:
        args = {"from_logits": not gives_probabilities(model, binary=of_each_output), **args}
    elif needs_probabilities(name, args, takes) and not gives_probabilities(model, binary=True):
        raise RequestError(
            f"{METRICS}: {name} takes probabilities, and the model gives none that can be told; let it end in a "
            "softmax, or compile it with its metrics in its function"
        )
    try:
        return made(**{**args, "name": column_of(metric)})
    except (TypeError, ValueError) as error:
        raise RequestError(f"{METRICS}: Keras refuses the arguments of {name}: {first_line(error)}") from error


def needs_probabilities(name: str, args: Iterable[str], takes: Iterable[str]) -> bool:
    """Whether logits would be counted wrongly: what is compared with thresholds, or has a logarithm taken of it."""
    by_class = name in ("F1Score", "FBetaScore") and "threshold" not in args  # the largest output, as for accuracy
    if by_class or "from_logits" in args:
        return False
    of_probabilities = name in OF_PROBABILITIES or name.startswith("Binary")
    return of_probabilities or not set(OF_THRESHOLDS).isdisjoint(takes)
