"""The pairs of networks are the same networks: without this no map could be."""

import numpy as np
import pytest

from tests.parity import _models


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: _models.flax_net(), lambda: _models.torch_net()),
        (lambda: _models.flax_net(False), lambda: _models.torch_net(False)),
        (lambda: _models.flax_transformer(), lambda: _models.torch_transformer()),
    ],
    ids=["hidden layer", "linear head", "transformer"],
)
def test_both_halves_of_a_pair_give_the_same_logits(ours, theirs):
    logits = theirs()(_models.torch_images()).detach().numpy()
    np.testing.assert_allclose(ours()(_models.images()), logits, rtol=0, atol=1e-5)


def test_the_explained_scores_are_of_both_signs():
    """Some maps depend on the sign of the score."""
    scores = np.asarray(_models.flax_net()(_models.images()))[np.arange(len(_models.TARGETS)), _models.TARGETS]
    assert set(np.sign(scores)) == {-1, 1}
