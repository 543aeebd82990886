"""The re-ranking rules by their key in the settings, in the order in which they are applied."""

from collections.abc import Mapping
from typing import Any

from serving.rerank.calibration import Calibration
from serving.rerank.caps import Cap
from serving.rerank.diversity import DPP, MMR
from serving.rerank.freshness import Freshness
from serving.rerank.popularity import Popularity
from serving.rerank.rule import Rule

RULES: Mapping[str, type[Rule[Any]]] = {
    "freshness": Freshness,
    "popularity": Popularity,
    "mmr": MMR,
    "dpp": DPP,
    "calibration": Calibration,
    "caps": Cap,
}
