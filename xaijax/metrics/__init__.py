"""Measures whether an explanation is faithful, stable, localized and simple, from the game or the explainer that made it."""

from xaijax.metrics._axioms import completeness_gap, null_player_violation, symmetry_violation
from xaijax.metrics._complexity import effective_size, entropy, gini
from xaijax.metrics._localization import (
    attribution_auc,
    box_masks,
    grid_pointing_game,
    pointing_game,
    relevance_mass,
    relevance_rank,
    top_k_intersection,
)
from xaijax.metrics._partial_dependence import PartialDependence, partial_dependence
from xaijax.metrics._removal import Removal, removal
from xaijax.metrics._score import Mean, Score
from xaijax.metrics.benchmark._benchmark import ExplainerBenchmark, benchmark_explainers
from xaijax.metrics.comparison._compare import compare
from xaijax.metrics.comparison._comparison import Agreement, Comparison
from xaijax.metrics.faithfulness._correlations import SensitivityN, faithfulness_correlation, sensitivity_n
from xaijax.metrics.faithfulness._curves import Curve, RelevanceGain, deletion, insertion, symmetric_relevance_gain
from xaijax.metrics.faithfulness._infidelity import infidelity
from xaijax.metrics.faithfulness._road import Road, road
from xaijax.metrics.faithfulness._top_shares import comprehensiveness, sufficiency
from xaijax.metrics.robustness._key_agreement import key_agreement
from xaijax.metrics.robustness._sensitivity import avg_sensitivity, local_lipschitz, max_sensitivity
from xaijax.metrics.robustness._stability import relative_input_stability, relative_output_stability
from xaijax.metrics.sanity._random_logit import random_logit
from xaijax.metrics.sanity._randomization import Randomization, efficient_randomization, parameter_randomization

__all__ = [
    "Agreement",
    "Comparison",
    "Curve",
    "ExplainerBenchmark",
    "Mean",
    "PartialDependence",
    "Randomization",
    "RelevanceGain",
    "Removal",
    "Road",
    "Score",
    "SensitivityN",
    "attribution_auc",
    "avg_sensitivity",
    "benchmark_explainers",
    "box_masks",
    "compare",
    "completeness_gap",
    "comprehensiveness",
    "deletion",
    "effective_size",
    "efficient_randomization",
    "entropy",
    "faithfulness_correlation",
    "gini",
    "grid_pointing_game",
    "infidelity",
    "insertion",
    "key_agreement",
    "local_lipschitz",
    "max_sensitivity",
    "null_player_violation",
    "parameter_randomization",
    "partial_dependence",
    "pointing_game",
    "random_logit",
    "relative_input_stability",
    "relative_output_stability",
    "relevance_mass",
    "relevance_rank",
    "removal",
    "road",
    "sensitivity_n",
    "sufficiency",
    "symmetric_relevance_gain",
    "symmetry_violation",
    "top_k_intersection",
]


def __dir__() -> list[str]:
    return __all__
