"""The record of which rule computed each operation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import xaijax as xai
from xaijax._core.jaxpr import apply, evaluate, trace
from xaijax._core.rules import RuleLog


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = jax.jit(lambda x: jax.lax.erf_inv(x / 9))(nn.Dense(3, name="first")(x))
        return xai.tag(jnp.tanh(x) * jnp.tanh(x - 1), "products")


def log_of(x):
    net = Net()
    model = xai.linen(net, net.init(jax.random.key(0), x))
    closed, _ = trace(model, x)
    log = RuleLog()

    def rule(equation, inputs):
        log.add(equation, {"erf_inv": "", "tanh": "rescale"}.get(equation.primitive.name, "linear"))
        return apply(equation, inputs)

    evaluate(closed.jaxpr, [*closed.consts, *jax.tree.leaves(model), x], rule)
    return log


def test_the_share_with_a_rule_and_those_without_are_reported_and_kept(tmp_path):
    table = log_of(jnp.ones((2, 4))).table()
    assert ("tanh", "rescale", 2) in table
    assert ("erf_inv in Net", "", 1) in table  # the path of the module that calls the compiled function
    attribution = xai.Attribution(jnp.ones((2, 3)), jnp.ones(2), rules=table)
    total = sum(count for *_, count in table)
    assert attribution.rule_share == (total - 1) / total
    assert attribution.without_rule == ("erf_inv in Net",)
    assert xai.load(xai.save(tmp_path / "a", attribution)).rules == table
    plain = xai.Attribution(jnp.ones((2, 3)), jnp.ones(2))
    assert plain.rule_share is None
    assert plain.without_rule == ()


def test_operations_without_a_rule_are_refused_unless_their_own_derivatives_are_asked_for():
    log = log_of(jnp.ones((2, 4)))
    log.check("gradient")
    with pytest.raises(
        ValueError, match="`model` must consist of operations that have a rule, got erf_inv in Net: pass"
    ):
        log.check("error")
