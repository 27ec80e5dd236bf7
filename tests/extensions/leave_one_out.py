"""An estimator: what the output loses without each player alone."""

import jax.numpy as jnp

from xaijax._core.attribution import Attribution
from xaijax._core.compile import compiled
from xaijax._core.game import Game, as_game


def leave_one_out(game: Game, *, batch_size: int | None = None) -> Attribution:
    """Computes phi_i = v(all players) - v(all players but i)."""
    return _leave_one_out(as_game(game), batch_size=batch_size)


@compiled(static_argnames=("batch_size",))
def _leave_one_out(game: Game, batch_size: int | None) -> Attribution:
    num_players = game.num_players
    coalitions = jnp.concatenate([~jnp.eye(num_players, dtype=bool), jnp.ones((1, num_players), bool)])

    def solve(v, _key, active):
        *without, full = v(coalitions)
        return {"values": full - jnp.stack(without), "output": full}

    return game.attribute(
        Attribution,
        solve,
        method="leave one out",
        estimator="exact",
        efficient=False,
        coalitions_at_once=num_players + 1,
        batch_size=batch_size,
    )
