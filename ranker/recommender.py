"""The two stages in one object."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
import polars as pl

from features.arrays import Float32Array, Int32Array
from features.candidates import Candidates
from features.errors import ConfigError, NotFittedError, SchemaError
from features.history import History, LogFacts
from features.schema import (
    canonical_ids,
    check_id_dtypes,
    check_interactions,
    check_items,
    check_users,
)
from features.stage import FeatureStage
from ranker import explain, funnel, persistence
from ranker.candidates.base import Generator
from ranker.candidates.popularity import Popularity
from ranker.defaults import default_depths, default_generators, repeats_in
from ranker.holdout import Holdout, default_holdout
from ranker.lists.topk import lists_frame, make_lists
from ranker.parallel import map_chunks
from ranker.rerank.first_stage import FUSION, first_stage_scores
from ranker.rerank.gate import TWO_STAGE, GateReport
from ranker.rerank.lambdarank import FittedLambdaRank, LambdaRank
from ranker.snapshot import Snapshot
from ranker.training import train_reranker
