"""The TOML file of the command line: read once, checked whole, then plain frozen dataclasses."""

from ranker.config.example import example_config
from ranker.config.loading import load_config
from ranker.config.sections import (
    Config,
    DataConfig,
    EvaluateConfig,
    ExportConfig,
    ModelConfig,
    SplitConfig,
)

__all__ = [
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "ExportConfig",
    "ModelConfig",
    "SplitConfig",
    "example_config",
    "load_config",
]
