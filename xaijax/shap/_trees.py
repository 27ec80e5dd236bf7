"""Exact Shapley and Banzhaf values of forests, and interactions of pairs: sums of table entries, and of deep leaves."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xaijax._core import check
from xaijax._core.attribution import Attribution, Interactions
from xaijax._core.blocks import each, in_blocks
from xaijax._core.compile import compiled
from xaijax._core.frames import Columns, check_order, read_frame
from xaijax._core.progress import watched
from xaijax._core.settings import own
from xaijax._core.target import ExampleScore, Target, as_target
from xaijax._core.typing import Array, Bool, Float, Inputs, Int, TargetLike
from xaijax.mask._background import Background
from xaijax.shap._tree_leaves import ROWS as ROWS_OF_LEAVES
from xaijax.shap._tree_leaves import LeafGroup, add_leaves
from xaijax.shap._tree_plan import MOST_BYTES, Plan, TreeTables, digest_of, shown_bytes
from xaijax.shap._tree_tables import MEASURES, OF_PLAYERS, Group, of_output, pairs_of
from xaijax.trees._forest import Forest
from xaijax.trees._nodes import MISSING

ESTIMATOR = "tables of the trees"
_ROWS = 8192  # at once: enough that a step for each subtree costs little, few enough that their sums stay in the cache
_KEPT = 2  # forests with their maskers whose tables are kept
_METHODS = {"shapley": "SHAP", "banzhaf": "Banzhaf"}
_CORRECTED = ("k-SII", "STII")  # of which single players have what their Shapley values keep of their pairs


@watched("shap.trees")
@own
def trees(
    forest: Forest,
    x: Inputs,
    masker: Background | TreeTables | None = None,
    *,
    target: TargetLike = None,
    index: str = "shapley",
    batch_size: int | None = None,
) -> Attribution:
    """Computes exact Shapley values of a forest, without evaluating coalitions.

    Why: no sampling error, for any number of features and background rows, and a small part of the time of estimators. Of
    each group of a few leaves, what an input adds depends on which splits it satisfies: a table over these patterns is
    computed once, on the host, and an input costs one look-up for each group and player.

    Args:
      forest: from `xai.trees.read(model)`. The forest's own outputs are explained: margins (log odds) of boosted
        classifiers, as values of probabilities do not follow from those of margins.
      x: [N, D] inputs or a data frame. NaN is a missing value where the forest's library allows it. NumPy arrays are compared
        with the thresholds in float64 on the host; traced arrays in their own dtype.
      masker: `xai.mask.background(rows, weights=, groups=)`: absent features take the values of the rows (interventional
        values), which may be NaN with its `allow_missing=True`. Any number of rows costs the same, once the tables are made.
        None for path-dependent values: where a split is on an absent feature, both ways are taken, by their shares of the
        training weight, or alike where none reaches the split; these values depend on how the trees are built: forests of
        equal outputs can get different ones. Trees may be of any depth then, as no tables of deep paths are needed. Or
        tables from `tree_tables`. Default None.
      target: an int, ints [N], "all", or None for the top class of each example. Default None.
      index: "shapley", or "banzhaf". Default "shapley".
      batch_size: inputs at once; None for as many as suit the device.

    Returns:
      values [N, M] (all outputs: [N, M, K]), base_value, output, and std_errors of 0. Shapley values sum to output minus
      base_value. Rows with NaN that the library refuses have NaN for all values.

    Raises:
      TypeError, ValueError: if an argument is of the wrong type, the features do not fit the forest, no training weights are
        known without a masker, or the trees are so deep that the tables of a background do not fit.

    References:
      Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees. Owen (1972),
      Multilinear extensions of games. See `_tree_tables.py` and `_tree_leaves.py` for the formulas and their sources.

    >>> import numpy as np, xaijax as xai
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> rows = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> forest = xai.trees.read(DecisionTreeRegressor(random_state=0).fit(rows, [0.0, 0.0, 0.0, 8.0]))
    >>> xai.shap.trees(forest, rows[3:], xai.mask.background(rows)).values
    Array([[3., 3.]], dtype=float32)
    """
    check.one_of("index", index, OF_PLAYERS)
    return _explained(forest, x, masker, target, index, batch_size)


@own
def tree_tables(forest: Forest, masker: Background | None = None, *, index: str = "shapley") -> TreeTables:
    """Makes the tables of a forest, to be passed to `trees` or `interactions` instead of a masker.

    Why: within `jax.jit`, or for many calls; the tables of the last calls of `trees` are kept anyway.

    Args:
      forest: from `xai.trees.read(model)`, with known values.
      masker: as in `trees`.
      index: "shapley" or "banzhaf" for `trees`; an index of `interactions` for that. Default "shapley".

    Returns:
      A PyTree, whose arrays hold the tables.

    Raises:
      TypeError, ValueError: as `trees`; or if the tables take more than 2 GB: `trees` then makes them in pieces.
    """
    check.one_of("index", index, list(MEASURES))
    plan = _plan_of(_checked_forest(forest), masker, index)
    if plan.num_bytes > MOST_BYTES:
        raise ValueError(
            f"`forest` must have tables of at most {shown_bytes(MOST_BYTES)} to be kept, got {shown_bytes(plan.num_bytes)}: "
            "call xai.shap.trees without tables, which makes them in pieces and drops them."
        )
    return plan.tables


def tree_interactions(
    forest: Forest, x: Inputs, masker: Any, *, target: TargetLike, index: str, batch_size: int | None
) -> Interactions:
    """Computes exact interactions of all pairs of a forest's players, as `xai.shap.interactions` returns them."""
    attribution = _explained(forest, x, masker, target, index, batch_size)
    assert isinstance(attribution, Interactions)
    return attribution


def _explained(
    forest: Forest, x: Inputs, masker: Any, target: TargetLike, index: str, batch_size: int | None
) -> Attribution:
    forest, batch_size = _checked_forest(forest), check.batch_size(batch_size)
    if isinstance(masker, TreeTables):
        pieces = iter([_checked_tables(masker, forest, index)])
    else:
        plan = _plan_of(forest, masker, index)
        pieces = iter([plan.tables]) if plan.num_bytes <= MOST_BYTES else plan.pieces()
    tables = next(pieces)
    inputs = _read_inputs(forest, x, tables.columns)
    codes, outputs, invalid = forest.codes(inputs), forest(inputs), forest.invalid(inputs)
    bound = _bound_target(target, outputs, len(inputs))
    only = _only_output(bound, forest.num_outputs)
    rows = _ROWS if batch_size is None else batch_size
    sums, base = _summed(tables, codes, only, rows), tables.base
    for piece in pieces:
        sums, base = sums + _summed(piece, codes, only, rows), base + piece.base
    inputs = inputs if tables.regions is None else None
    attribution = _attribution(
        sums, base, outputs, invalid, bound, inputs, tables.regions, num_players=tables.num_players, index=index
    )
    return dataclasses.replace(attribution, names=tables.names, output_names=forest.output_names)


def _checked_forest(forest: Any) -> Forest:
    if not isinstance(forest, Forest):
        raise TypeError(f"`forest` must come from xai.trees.read(model), got {check.shown(forest)}.")
    return forest


def _checked_tables(tables: TreeTables, forest: Forest, index: str) -> TreeTables:
    if tables.index != index:
        fits = (tables.index in OF_PLAYERS) == (index in OF_PLAYERS)
        other = f"pass index={tables.index!r}, or " if fits else ""
        raise ValueError(
            f"`masker` must be tables of the index {index!r}, got those of {tables.index!r}: {other}make tables by "
            f"xai.shap.tree_tables(forest, masker, index={index!r})."
        )
    if tables.nodes != forest.nodes or tables.base.shape != forest.bias.shape:
        raise ValueError("`masker` must be tables of this forest, got those of another one: make them again.")
    known = check.is_concrete(forest.value, forest.bias, tables.outputs)
    if known and not np.array_equal(digest_of(forest.value, forest.bias), tables.outputs):
        raise ValueError(
            "`masker` must be tables of this forest, got those of a forest with other outputs at its leaves: make them again."
        )
    return tables


class _Same:
    """Compares objects by identity, and keeps them, so that their identities stay theirs."""

    def __init__(self, *objects: Any):
        self.objects = objects

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.objects)))

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Same) and all(
            mine is theirs for mine, theirs in zip(self.objects, other.objects, strict=True)
        )


def _plan_of(forest: Forest, masker: Any, index: str) -> Plan:
    """Checks the masker and returns the plan of the tables, that of the same call before where there was one."""
    if masker is not None and not isinstance(masker, Background):
        raise TypeError(
            "`masker` must be xai.mask.background(rows), another masker that replaces absent features by rows, tables of "
            f"xai.shap.tree_tables, or None for path-dependent values, got {check.shown(masker)}."
        )
    if not check.is_concrete(forest, masker):
        raise TypeError(
            "`forest` and `masker` must be known when their tables are made, got traced arrays: make them before, by "
            "xai.shap.tree_tables, and pass these as masker."
        )
    features = forest.nodes.num_features
    if masker is not None and masker.rows.shape[1:] != (features,):
        raise ValueError(
            f"`masker` must have rows [B, {features}], as the forest has {features} features, got {list(masker.rows.shape)}."
        )
    if masker is not None:
        check_order("masker", masker.columns, forest.columns)
    return _cached_plan(_Same(forest, masker), index, jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]


@functools.lru_cache(maxsize=_KEPT)
def _cached_plan(objects: _Same, index: str, _x64: bool) -> Plan:
    forest, masker = objects.objects
    return Plan(forest, masker, index)


def _read_inputs(forest: Forest, x: Any, columns: Columns | None) -> Any:
    """Returns the inputs [N, D] as a traced array, or as one of NumPy in its own dtype."""
    if forest.columns is None and columns is not None:
        x, _ = read_frame("x", x, columns, "the masker's rows", missing=True)
    return forest.read(x)


def _bound_target(target: TargetLike, outputs: Array, num_examples: int) -> Target:
    if callable(target) or isinstance(target, ExampleScore):
        raise TypeError(
            f'`target` must be an int, ints [N], "all" or None for exact values of a forest, got {check.shown(target)}: only its '
            "own outputs, such as margins, have them; for functions of them, such as probabilities, sample by "
            "xai.shap.values with num_evaluations."
        )
    return as_target(target, outputs, num_examples, all_allowed=True).resolve(outputs)


def _only_output(target: Target, num_outputs: int) -> Int[Array, ""] | None:
    """Returns the output that all examples explain, or None where they differ or it is not known."""
    if target.every:
        return None
    if num_outputs == 1:
        return np.int32(0)  # pyright: ignore[reportReturnType]
    if not check.is_concrete(target.index):
        return None
    known = np.unique(np.asarray(target.index))
    return known[0] if len(known) == 1 and 0 <= known[0] < num_outputs else None


def _summed(tables: TreeTables, codes: Any, only: Any, rows: int) -> Float[Array, "N R K"]:
    """Returns the sums over all subtrees, of all outputs or of one: of players, then of pairs."""
    players, outputs = tables.num_players, tables.base.shape[0]
    count = players if tables.index in OF_PLAYERS else players + players * (players - 1) // 2
    sets = (tables.members, tables.set_feature)
    shape = (count, outputs if only is None else 1)
    return _sums(tables.groups, tables.leaves, sets, codes, only, shape=shape, rows=rows)


@compiled(static_argnames=("shape", "rows"), title="shap.trees")
def _sums(
    groups: tuple[Group, ...],
    leaves: tuple[LeafGroup, ...],
    sets: tuple[Int[Array, "sets codes"], Int[Array, " sets"]],
    codes: Int[Array, "N D"],
    only: Int[Array, ""] | None,
    shape: tuple[int, int],
    rows: int,
) -> Float[Array, "N R K"]:
    members, feature = sets
    dtypes = [group.table.dtype for group in groups] + [group.value.dtype for group in leaves]
    dtype = dtypes[0] if dtypes else jnp.zeros(()).dtype

    def of_block(add: Callable[..., Array], parts: tuple[Any, ...]) -> Callable[[Array], Array]:
        def sums_of(codes: Int[Array, "n D"]) -> Float[Array, "n R K"]:
            columns = codes.T
            if len(feature):
                member = jnp.take_along_axis(members, columns[feature] + 1, axis=1)
                columns = jnp.concatenate([columns, member.astype(columns.dtype)])
            sums = jnp.zeros((shape[0] + 1, shape[1], len(codes)), dtype)
            for part in parts:
                sums = add(sums, part, columns.astype(part.low.dtype), only)
            return jnp.moveaxis(sums[:-1], -1, 0)

        return sums_of

    sums = in_blocks(of_block(_add_tables, groups), codes, rows)
    return sums + in_blocks(of_block(add_leaves, leaves), codes, min(rows, ROWS_OF_LEAVES)) if leaves else sums


def _add_tables(sums: Array, group: Group, columns: Array, only: Array | None) -> Float[Array, "R+1 K n"]:
    return jax.lax.platform_dependent(sums, group, columns, only, cpu=_one_by_one, default=_many_at_once)


def _one_by_one(
    sums: Float[Array, "R+1 K n"], group: Group, columns: Int[Array, "columns n"], only: Int[Array, ""] | None
) -> Float[Array, "R+1 K n"]:
    """Adds what each subtree says of the inputs, entry by entry: its tables stay in the cache, and the sums in place."""

    def add(sums: Array, part: Group) -> tuple[Array, None]:
        pattern = _patterns(jax.tree.map(lambda leaf: leaf[None], part), columns)[0]

        def add_entry(sums: Array, entry: tuple[Array, Array]) -> tuple[Array, None]:
            row, table = entry
            table = of_output(table, only, axis=0)
            values = each(lambda own: own.at[pattern].get(mode="promise_in_bounds"))(table)
            old = jax.lax.dynamic_index_in_dim(sums, row, axis=0)
            return jax.lax.dynamic_update_index_in_dim(sums, old + values, row, axis=0), None

        return jax.lax.scan(add_entry, sums, (part.row, part.table))[0], None

    def add_step(sums: Array, parts: Group) -> tuple[Array, None]:  # sums of sums round less
        return sums + jax.lax.scan(add, jnp.zeros_like(sums), parts)[0], None

    return jax.lax.scan(add_step, sums, group)[0]


def _many_at_once(
    sums: Float[Array, "R+1 K n"], group: Group, columns: Int[Array, "columns n"], only: Int[Array, ""] | None
) -> Float[Array, "R+1 K n"]:
    """Adds the same for all subtrees of a step at once."""

    def add(sums: Array, part: Group) -> tuple[Array, None]:
        table = of_output(part.table, only, axis=2)
        pattern = _patterns(part, columns)[:, None, None]
        values = jnp.take_along_axis(table, pattern, axis=3, mode="promise_in_bounds")  # [s, E, K, n]
        return sums.at[part.row.reshape(-1)].add(values.reshape(-1, *sums.shape[1:]), mode="promise_in_bounds"), None

    return jax.lax.scan(add, sums, group)[0]


def _patterns(part: Group, columns: Int[Array, "columns n"]) -> Int[Array, "s n"]:
    """Returns the bits of each input in each subtree, as `Conditions.patterns` does for the background."""
    subtrees, bits, conditions = part.column.shape
    dtype = jnp.int16 if bits < 16 else jnp.int32
    pattern = jnp.zeros((subtrees, columns.shape[1]), dtype)
    for bit in range(bits):
        holds = jnp.ones(pattern.shape, bool)
        for number in range(conditions):
            code = columns[part.column[:, bit, number]]
            low, high, missing = (leaf[:, bit, number, None] for leaf in (part.low, part.high, part.missing))
            holds &= ((code >= low) & (code < high)) | ((code == MISSING) & missing)
        pattern |= holds.astype(dtype) << bit
    return pattern.astype(jnp.int32)


@compiled(static_argnames=("num_players", "index"), title="shap.trees")
def _attribution(
    sums: Float[Array, "N R K"],
    base: Float[Array, " K"],
    outputs: Float[Array, "..."],
    invalid: Bool[Array, " N"],
    target: Target,
    inputs: Array | None,
    regions: Int[Array, " D"] | None,
    num_players: int,
    index: str,
) -> Attribution:
    """Returns the attribution of the target's outputs, NaN where an input or a target is invalid."""
    count = len(sums)
    output = target.select(outputs)
    if sums.shape[2] == 1 and not target.every:
        chosen = sums[..., 0]
    elif target.every:
        chosen = sums
    else:
        chosen = jnp.take_along_axis(sums, jnp.clip(target.index, 0, sums.shape[2] - 1)[:, None, None], axis=2)[..., 0]
    base = jnp.broadcast_to(base, (count, len(base)))
    values = chosen[:, :num_players]
    shared: dict[str, Any] = {"values": values}
    if index not in OF_PLAYERS:
        pairs = _symmetric(chosen[:, num_players:], num_players)
        if index in _CORRECTED:
            shared["values"] = values - pairs.sum(axis=2) / 2
        shared |= {"pairs": pairs, "pair_errors": jnp.zeros_like(pairs)}
    shared |= {
        "output": output,
        "base_value": target.select(base),
        "std_errors": jnp.zeros_like(values),
    }
    bad = invalid | jnp.isnan(output).reshape(count, -1).any(axis=1)
    result = Attribution if index in OF_PLAYERS else functools.partial(Interactions, index=index)
    return result(
        **check.nan_where(bad, shared),
        target=target.index,
        inputs=inputs,
        regions=None if regions is None else jnp.broadcast_to(regions, (count, *regions.shape)),
        choice=jnp.zeros(count, jnp.int32),
        axes="N M K" if target.every else "N M",
        method=_METHODS.get(index, index),
        efficient=index == "shapley",
        choices=((ESTIMATOR, ""),),
    )


def _symmetric(pairs: Float[Array, "N P ..."], num_players: int) -> Float[Array, "N M M ..."]:
    """Returns the interaction of each pair in both orders, and 0 on the diagonal."""
    number = np.full((num_players, num_players), pairs.shape[1])
    first, second = pairs_of(num_players).T
    number[first, second] = number[second, first] = np.arange(len(first))
    padded = jnp.concatenate([pairs, jnp.zeros_like(pairs[:, :1])], axis=1)
    return padded[:, number]
