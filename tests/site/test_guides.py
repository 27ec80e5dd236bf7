"""docs/guides/models.md: the code of frameworks that the site is built without runs as well; the other cells run with the site."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import xaijax as xai

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "models.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("package", "section"), [("keras", "Keras"), ("equinox", "Equinox")])
def test_the_code_of_the_section_runs(package, section):
    pytest.importorskip(package)
    (code,) = re.findall(rf"^## {section}$.*?^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    *lines, last = code.strip().splitlines()
    namespace = {"jax": jax, "xai": xai, "images": jax.random.uniform(jax.random.key(1), (2, 16, 16, 3))}
    exec("\n".join([*lines, f"result = {last}"]), namespace)
    if package == "keras":
        assert namespace["result"] == (2, 14, 14)
    else:
        result, table = namespace["result"], namespace["table"]
        outputs = np.asarray(jax.vmap(namespace["mlp"])(table))
        top = outputs[:2].argmax(axis=1)
        gain = outputs[[0, 1], top] - outputs.mean(axis=0)[top]
        np.testing.assert_allclose(result.values.sum(axis=1), gain, atol=1e-5)
