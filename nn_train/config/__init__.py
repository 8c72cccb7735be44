"""The settings of a job: declared in ``schema``, read from files and arguments in ``parse``."""

from nn_train.config.parse import config_from_dict, config_from_flat, config_to_dict, dump_yaml, read_config, value_text
from nn_train.config.schema import (
    Config,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScalingConfig,
    TrainConfig,
)

__all__ = [
    "Config",
    "DataConfig",
    "ModelConfig",
    "OptimizerConfig",
    "RunConfig",
    "ScalingConfig",
    "TrainConfig",
    "config_from_dict",
    "config_from_flat",
    "config_to_dict",
    "dump_yaml",
    "read_config",
    "value_text",
]
