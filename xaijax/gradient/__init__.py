"""Gradients of the explained score with respect to the input, and the scores of changed inputs.

- One gradient: `saliency`, `input_x_gradient`; `guided_backpropagation` and `deconvolution`, with other derivatives of the
  ReLUs.
- Differences from a reference: `deep_lift`, and `deep_shap` over a background.
- Paths from baselines: `integrated_gradients` by quadrature, `expected_gradients` by sampling, `guided_integrated_gradients`
  on a path that avoids large derivatives, `blur_integrated_gradients` from a blurred image, `conductance` and
  `internal_influence` of a layer, `integrated_hessians` for pairs of features.
- No derivative: `occlusion` (sliding windows), `feature_ablation` (groups of features).
- Relevance from layer to layer (LRP): `propagate`, with one of the `composites`, which are made of `rules`.
- Averages over noisy copies of the input: `smooth` of any explainer.

Each takes `layer=`, a layer whose activations are explained instead of the input. A unit inside the network is explained by
`target=xai.target.unit(layer, index)`.
"""

from xaijax.gradient import composites, rules
from xaijax.gradient._blur_integrated_gradients import blur_integrated_gradients
from xaijax.gradient._conductance import conductance, internal_influence
from xaijax.gradient._deep_lift import deep_lift, deep_shap
from xaijax.gradient._expected_gradients import expected_gradients
from xaijax.gradient._guided_integrated_gradients import guided_integrated_gradients
from xaijax.gradient._integrated_gradients import integrated_gradients
from xaijax.gradient._integrated_hessians import integrated_hessians
from xaijax.gradient._occlusion import feature_ablation, occlusion
from xaijax.gradient._one_gradient import deconvolution, guided_backpropagation, input_x_gradient, saliency
from xaijax.gradient._propagate import propagate
from xaijax.gradient._smooth import smooth

__all__ = [
    "blur_integrated_gradients",
    "composites",
    "conductance",
    "deconvolution",
    "deep_lift",
    "deep_shap",
    "expected_gradients",
    "feature_ablation",
    "guided_backpropagation",
    "guided_integrated_gradients",
    "input_x_gradient",
    "integrated_gradients",
    "integrated_hessians",
    "internal_influence",
    "occlusion",
    "propagate",
    "rules",
    "saliency",
    "smooth",
]


def __dir__() -> list[str]:
    return __all__
