"""An estimator: what the output loses without each player alone.

The contract: `game.attribute(result, solve, ...)` solves every game, one for each example. It calls

    solve(v, key, active) -> {"values": [M] or [M, K], "output": ..., and other fields of the result}

- `v` maps coalitions [S, M], booleans, to their values [S], or [S, K] for all outputs. It evaluates them in blocks.
- `key` is the random key of this example; `active` [M] is False for players that cannot change anything, such as padding.

Names, targets, blocks, keys of examples and NaN for invalid examples come with `attribute`.
"""

import functools

import jax
import jax.numpy as jnp

import xaijax as xai


@functools.partial(jax.jit, static_argnames="batch_size")
def leave_one_out(game: xai.Game, *, batch_size: int | None = None) -> xai.Attribution:
    """Computes phi_i = v(all players) - v(all players but i)."""
    num_players = game.num_players
    coalitions = jnp.concatenate([~jnp.eye(num_players, dtype=bool), jnp.ones((1, num_players), bool)])

    def solve(v, key, active):
        *without, grand = v(coalitions)
        return {"values": grand - jnp.stack(without), "output": grand}

    return game.attribute(
        xai.Attribution,
        solve,
        method="leave one out",
        estimator="exact",
        efficient=False,  # the values do not add up to the output minus the base value
        coalitions_at_once=num_players + 1,
        batch_size=batch_size,
    )


by_hand = leave_one_out(xai.Game(lambda z: 3.0 * z[:, 0] * z[:, 1] + z[:, 2], num_players=3, names=["a", "b", "c"]))


def model(x):
    return jnp.stack([x[:, 0] * x[:, 1], x[:, 2]], axis=1)


of_model = leave_one_out(xai.game(model, jnp.array([[2.0, 3.0, 4.0]]), xai.mask.baseline(jnp.zeros(3)), target="all"))
print(by_hand.values, of_model.values[0], sep="\n")
