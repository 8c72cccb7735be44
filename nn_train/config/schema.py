"""Every setting of a job: its name, type, default, unit, meaning and range.

The names are a contract with job files and command lines. A config is frozen; it is checked where it
is made, so that no other code checks it again.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nn_train.config.options import (
    FrozenDict,
    Section,
    checked_value,
    given_arguments,
    is_entry_point,
    option,
    user_arguments,
    word_of,
)
from nn_train.config.uris import refuse_credentials, refuse_no_path
from nn_train.errors import RequestError

LOWEST_PORT, HIGHEST_PORT = 1024, 65535  # below, only root may listen
BUILT_IN_DATA = ("mnist", "fashion_mnist")
BUILT_IN_LOSSES = ("cross_entropy", "mse")
BUILT_IN_OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
# Short names of classes of Keras; those of the built-in ones are kept in a config in the place of the class.
SHORT_NAMES = {
    "optimizers": {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"},
    "losses": {
        "cross_entropy": "SparseCategoricalCrossentropy",
        "mse": "MeanSquaredError",
        "mae": "MeanAbsoluteError",
        "mape": "MeanAbsolutePercentageError",
        "msle": "MeanSquaredLogarithmicError",
        "kld": "KLDivergence",
    },
    "metrics": {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError", "kld": "KLDivergence"},
}
METRICS = "train.metrics"
ACCURACY = ("accuracy", "acc", "Accuracy")  # is counted anyway; Keras' class of that name compares with labels alone
ARRAYS = re.compile(r"/given/[0-9a-f]{16}\.npz(\?|$)")  # as jobs/given_values.py writes those of a call
NAME_PATTERN = re.compile(r"(?=.{1,100}\Z)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_-])?")


# In the names of metrics of which less is better; and their last words, which Keras takes for such, or everybody does.
LOWER = ("loss", "error", "crossentropy", "divergence", "hinge", "poisson", "logcosh", "false_", "perplexity")
LOWER_WORDS = {"mse", "mae", "mape", "msle", "rmse", "rmsle", "nrmse", "smape", "mase", "crps", "kld", "kl", "nll"}
LOWER_WORDS |= {"bce", "cce", "brier", "ece", "deviance", "fpr", "fnr", "eer", "wer", "cer"}

Metric = str | FrozenDict


def letters(name: str) -> str:
    """Return what is compared of a name of Keras: ``huber_loss`` and ``HuberLoss`` are one."""
    return name.lower().replace("_", "")


def canonical(module: str, name: str, kept: tuple[str, ...] = ()) -> str:
    """Return one name for what has a short one: that among ``kept``, else the class; others as they are."""
    for short, long in SHORT_NAMES[module].items():
        if letters(name) in (letters(short), letters(long)):
            return short if short in kept else long
    return name


def parts_of(metric: object) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the arguments of a metric, which is given as ``Name`` or ``{Name: {argument: value}}``."""
    if isinstance(metric, str):
        return metric, {}
    if isinstance(metric, Mapping) and len(metric) == 1:
        ((name, args),) = metric.items()
        if isinstance(name, str) and (args is None or isinstance(args, Mapping)):
            return name, args or {}
    raise RequestError(f"{METRICS}: {metric!r} is neither the name of a metric nor {{name: {{argument: value}}}}")


def metric_of(name: str, args: Mapping[str, Any]) -> Metric:
    """Return a checked metric. Whether Keras has it is looked up when the job begins."""
    named, chosen = canonical("metrics", name), given_arguments(f"{METRICS}: {name}", args)
    if not named.isidentifier():
        raise RequestError(f"{METRICS}: {name!r} is not known; give names of keras.metrics")
    if re.fullmatch(r"[A-Za-z]\w*", str(chosen.get("name", "a"))) is None:
        raise RequestError(f"{METRICS}: {name}.name: {chosen['name']!r} is not made of letters, digits and _")
    return FrozenDict({named: chosen}) if chosen else named


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """What to learn from."""

    source: str = option(
        "mnist",
        "mnist, fashion_mnist, path or URI of an .npz (x_train, y_train, x_test, y_test), or module:function",
    )
    validation_fraction: float = option(
        0.1, "share of the training examples held out for validation", minimum=0, below=1
    )
    args: Mapping[str, Any] = option({}, "what the function of source takes by name: --data.args.NAME VALUE")
    augment: str | None = option(
        None,
        "module:function of (x, y, generator) that changes a training example each time it is taken",
        entry_point=True,
    )
    scale: str = option(
        "auto",
        "bytes as the model sees them: auto: divided by 255; none: 0 to 255, for models that scale by themselves",
        choices=("auto", "none"),
    )
    image_size: tuple[int, ...] = option(
        (), "H,W or H,W,C that the images of a folder are made to have, in pixels and channels; none: all are alike"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_credentials("data.source", self.source)
        self.check_image_size()
        object.__setattr__(self, "args", user_arguments("data.args", self.source, self.args))

    def check_image_size(self) -> None:
        """RequestError where it is none, or the source cannot be a folder of images."""
        size = self.image_size
        if size and (len(size) not in (2, 3) or min(size) < 1 or size[2:] not in ((), (1,), (3,), (4,))):
            shown = ",".join(map(str, size))
            raise RequestError(f"data.image_size: {shown} is no size; expected H,W or H,W,C with C 1, 3 or 4")
        if size and (self.source in BUILT_IN_DATA or ":" in self.source or self.source.endswith(".npz")):
            raise RequestError(
                f"data.image_size: is for the images of a folder, not for {self.source}; resize these in your function "
                "or by a layer of the model"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """What learns. ``args`` are for a function of one's own, the other settings below ``name`` for built-in models."""

    name: str = option(
        "mlp", "mlp, cnn, or module:function that returns a Keras model", choices=("mlp", "cnn"), entry_point=True
    )
    hidden_units: int = option(128, "units of the hidden dense layer", minimum=1)
    activation: str = option(
        "relu",
        "activation of the hidden layers",
        choices=("relu", "sigmoid", "tanh", "elu", "gelu", "leaky_relu", "selu", "silu", "softplus"),
    )
    dropout: float | None = option(
        None, "share of units dropped after the hidden layer; none: 0.2 for mlp, 0 for cnn", minimum=0, below=1
    )
    l2: float = option(0.0, "L2 penalty on every kernel, added to the loss", minimum=0)
    args: Mapping[str, Any] = option({}, "what the function of name takes by name: --model.args.NAME VALUE")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "args", user_arguments("model.args", self.name, self.args))


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Section):
    """How it learns. A compiled model of the user's own brings its own optimizer instead."""

    name: str = option(
        "adam",
        "optimizer; others of keras.optimizers by the names of their classes, such as Lion",
        choices=BUILT_IN_OPTIMIZERS,
        keras="keras.optimizers",
    )
    learning_rate: float = option(1e-3, "learning rate, per step", above=0)
    schedule: str = option("constant", "learning rate over the steps", choices=("constant", "exponential", "cosine"))
    decay_steps: int | None = option(
        None, "steps of one decay; none: 10000 for exponential, the whole training for cosine", minimum=1
    )
    decay_rate: float = option(0.9, "factor per decay_steps (exponential)", above=0, maximum=1)
    warmup_steps: int = option(0, "steps of linear warm-up from 0 (constant, cosine)", minimum=0)
    args: Mapping[str, Any] = option(
        {}, "what Keras' class takes by name besides the fields above: --optimizer.args.NAME VALUE"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "name", canonical("optimizers", self.name, BUILT_IN_OPTIMIZERS))
        object.__setattr__(self, "args", given_arguments("optimizer.args", self.args))
        for name in ("name", "learning_rate"):
            if name in self.args:
                raise RequestError(f"optimizer.args.{name}: it is set by the field optimizer.{name}")
        if self.warmup_steps and self.schedule == "exponential":
            raise RequestError(
                "optimizer.warmup_steps: works with the schedules constant and cosine, not with exponential; "
                "set optimizer.schedule to one of them, or warmup_steps to 0"
            )


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """For how long, in what portions, and when to stop."""

    loss: str = option(
        "cross_entropy",
        "loss (mse: on one-hot targets); others of keras.losses by name, such as Huber",
        choices=BUILT_IN_LOSSES,
        keras="keras.losses",
    )
    metrics: tuple[Any, ...] = option(
        (), "what is counted besides accuracy: names of keras.metrics, or [{NAME: {argument: value}}, ...]"
    )
    epochs: int = option(5, "passes over the training examples", minimum=1)
    batch_size: int = option(64, "examples per step, summed over the workers", minimum=1)
    precision: str = option(
        "float32", "numbers used to compute", choices=("float32", "mixed_bfloat16", "mixed_float16")
    )
    early_stopping_patience: int | None = option(
        None, "epochs without a lower val_loss before stopping; none: never", minimum=1
    )
    checkpoint_every_seconds: float = option(
        60.0, "seconds between checkpoints within an epoch; after every epoch there is one", above=0
    )
    callbacks: str | None = option(None, "module:function that returns a list of Keras callbacks", entry_point=True)
    class_weight: Mapping[str, Any] = option(
        {}, "{label or class name: how much its training examples count in the loss}; 1 for those left out"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "loss", canonical("losses", self.loss, BUILT_IN_LOSSES))
        metrics = tuple(metric_of(*parts_of(one)) for one in self.metrics)
        object.__setattr__(self, "metrics", tuple(one for one in metrics if one not in ACCURACY))
        weights = {label: checked_value("train.class_weight", weight) for label, weight in self.class_weight.items()}
        for label, weight in weights.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not 0 <= weight < math.inf:
                raise RequestError(f"train.class_weight: {label}: {weight!r} is not a number of at least 0")
        object.__setattr__(self, "class_weight", FrozenDict(weights))


@dataclass(frozen=True, kw_only=True)
class ScalingConfig(Section):
    """On how many processes, each with what."""

    num_workers: int = option(2, "worker processes of one MultiWorkerMirroredStrategy", minimum=1)
    min_workers: int | None = option(
        None, "with how few of them to train while there is no room for all; none: num_workers", minimum=1
    )
    use_gpu: bool = option(False, "give every worker gpus_per_worker GPUs")
    cpus_per_worker: float = option(1.0, "CPUs, and threads, of a worker", above=0)
    gpus_per_worker: float = option(
        1.0, "share of a GPU for a worker, when use_gpu is true; for more GPUs take more workers", above=0, maximum=1
    )
    port_range: str | None = option(
        None, "ports on which the workers reach each other, FIRST-LAST, such as 20000-20100; none: any free ones"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.port_range is not None:
            parse_port_range("scaling.port_range", self.port_range)
        if self.least_workers > self.num_workers:
            raise RequestError(
                f"scaling.min_workers: {self.min_workers} is more than scaling.num_workers ({self.num_workers}); "
                "training takes as many workers as there is room for, from the one to the other"
            )

    @property
    def least_workers(self) -> int:
        """``min_workers``, or ``num_workers`` without."""
        return self.num_workers if self.min_workers is None else self.min_workers


@dataclass(frozen=True, kw_only=True)
class RunConfig(Section):
    """Where results go and what happens when something breaks."""

    storage_path: str = option("results", "folder or URI (s3://, gs://) under which <name>/ is written")
    overwrite: bool = option(False, "replace a run of the same name")
    max_failures: int = option(3, "how often lost workers are restarted before giving up", minimum=0)
    hang_timeout: float = option(
        60.0, "seconds without a sign of life after which a worker is taken for lost", minimum=1
    )
    loggers: tuple[str, ...] = option(
        ("tensorboard",), "where the metrics go besides metrics.jsonl", choices=("tensorboard", "mlflow")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_credentials("run.storage_path", self.storage_path)
        refuse_no_path("run.storage_path", self.storage_path)


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Section):
    """What jobs.tune varies, how it chooses, and when it stops."""

    space: Mapping[str, Any] = option({}, "field: {kind: values}; see docs/tune.md")
    algorithm: str = option(
        "random",
        "random, grid, a sampler of Optuna (tpe, cmaes, qmc, nsgaii), or module:function that returns one",
        choices=("random", "grid", "tpe", "cmaes", "qmc", "nsgaii"),
        entry_point=True,
    )
    scheduler: str = option(
        "asha", "which trials to stop early", choices=("none", "asha", "hyperband", "median", "pbt")
    )
    num_trials: int = option(20, "trials in all; grid: every combination", minimum=1)
    metric: str = option(
        "auto",
        "what is compared: a name in metrics.jsonl, at a trial's best epoch; auto: val_accuracy, or val_loss where "
        "evaluation.task is regression",
    )
    mode: str | None = option(
        None, "max or min; none: min for loss, error, mae and the like in its name, else max", choices=("max", "min")
    )
    grace_epochs: int = option(1, "epochs before a trial can be stopped; pbt: between exchanges", minimum=1)
    reduction_factor: int = option(4, "asha, hyperband: one of this many trials goes on at each rung", minimum=2)
    time_budget: float | None = option(None, "seconds after which no further epoch is started", above=0)
    target: float | None = option(None, "value of the metric at which the search ends")
    max_failed_trials: int | None = option(None, "failed trials at which the search ends", minimum=1)
    max_concurrent: int | None = option(None, "trials at a time; none: as many as fit the cluster", minimum=1)
    keep_best: int = option(3, "models that are kept", minimum=0)
    reuse_graph: bool = option(
        False,
        "trials of your model function share a traced graph: promises that the model depends on its arguments and the "
        "config alone; see docs/tune.md",
    )
    confirm: Mapping[str, Any] | None = option(
        None, "{top: 3, seeds: 3}: train the best again with other seeds and choose on the mean"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.confirm is not None:
            numbers = [self.confirm.get(key) for key in ("top", "seeds")]
            whole = all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers)
            if set(self.confirm) != {"top", "seeds"} or not whole:
                raise RequestError(f"search.confirm: {dict(self.confirm)!r} is not written as {{top: 3, seeds: 3}}")

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric is minimised."""
        if self.mode is not None:
            return self.mode == "min"
        words = [word for word in self.metric.lower().split("_") if not word.isdigit()]
        is_lower = any(part in self.metric.lower() for part in LOWER) or (bool(words) and words[-1] in LOWER_WORDS)
        return is_lower != ("neg" in words or "negative" in words)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Section):
    """How a finished run is judged."""

    task: str | None = option(
        None,
        "what the model is for; none: by its test targets, outputs and loss",
        choices=("binary", "multiclass", "regression"),
    )


@dataclass(frozen=True, kw_only=True)
class PipelineConfig(Section):
    """What jobs.pipeline runs: a search for each model, trainings with the best settings, and one report."""

    models: Mapping[str, Any] = option({}, "name: {section: {field: value}}, what differs for each model")
    seeds: int = option(3, "trainings of each model, with seed, seed + 1, …", minimum=1)
    workers_per_trial: int = option(1, "worker processes of a trial of the search", minimum=1)
    quick: Mapping[str, Any] = option({}, "{section: {field: value}}, what --quick changes for every model")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole job. ``Config()`` trains the MLP on MNIST with two workers.

    Raises:
        RequestError: a value is out of its range or two values contradict each other.
    """

    name: str | None = field(default=None, metadata={"help": "name of the run and of its folder; none: <data>_<model>"})
    seed: int = field(default=0, metadata={"help": "seed of the weights, the order of examples and dropout"})
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    scaling: ScalingConfig = field(default_factory=ScalingConfig)
    run: RunConfig = field(default_factory=RunConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        if self.search.metric == "auto":
            metric = "val_loss" if self.evaluation.task == "regression" else "val_accuracy"
            object.__setattr__(self, "search", dataclasses.replace(self.search, metric=metric))
        if self.name is None:
            object.__setattr__(self, "name", default_name(self.data.source, self.model.name))
        if not NAME_PATTERN.fullmatch(str(self.name)):
            raise RequestError(
                f"name: {self.name!r} cannot name a folder; allowed: 1 to 100 letters, digits, '.', '_' and '-', "
                "the first a letter or digit, the last no '.'"
            )
        if not 0 <= self.seed < 2**31:
            raise RequestError(f"seed: {self.seed!r} is out of range; allowed: 0 to 2147483647")
        if self.train.batch_size < self.scaling.num_workers:
            raise RequestError(
                f"train.batch_size: {self.train.batch_size} is less than scaling.num_workers "
                f"({self.scaling.num_workers}); batch_size is the sum over the workers, each needs at least one example"
            )

    @property
    def functions(self) -> dict[str, str]:
        """Field to name of the user's functions: ``{"model.name": "module:function"}``."""
        named = {
            "model.name": self.model.name,
            "train.callbacks": self.train.callbacks,
            "data.source": self.data.source,
            "data.augment": self.data.augment,
        }
        return {field: name for field, name in named.items() if name is not None and is_entry_point(name)}

    @property
    def job_name(self) -> str:
        """The run's name, never empty."""
        return str(self.name)


SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "model": ModelConfig,
    "optimizer": OptimizerConfig,
    "train": TrainConfig,
    "scaling": ScalingConfig,
    "run": RunConfig,
    "search": SearchConfig,
    "evaluation": EvaluationConfig,
    "pipeline": PipelineConfig,
}


def default_name(source: str, model: str) -> str:
    """``mnist_mlp`` for the built-ins; the last word of a path or ``module:function`` otherwise."""
    stem = "arrays" if ARRAYS.search(source) else source.rsplit("/", 1)[-1].removesuffix(".npz")
    words = "_".join((word_of(stem), word_of(model)))
    return re.sub(r"[^A-Za-z0-9._-]+", "_", words).strip("._-")[:100].rstrip(".") or "run"


def parse_port_range(field: str, text: str) -> range:
    """The ports that ``FIRST-LAST`` names, both included. Raises RequestError naming ``field``."""
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    ports = range(int(match[1]), int(match[2]) + 1) if match else range(0)
    if not ports or ports[0] < LOWEST_PORT or ports[-1] > HIGHEST_PORT:
        raise RequestError(
            f"{field}: {text!r} is no range of ports; allowed: FIRST-LAST with "
            f"{LOWEST_PORT} <= FIRST <= LAST <= {HIGHEST_PORT}, such as 20000-20100"
        )
    return ports
