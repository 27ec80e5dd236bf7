"""Partitioned programs are read correctly, and explainers split evenly without collectives in loops."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.console import Console

from benchmarks import _devices
from benchmarks._partitioned_programs import read_program

TEXT = """HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[2,6]{1,0}, s32[])->(f32[2,3]{1,0}, f32[])}, num_partitions=8

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%inner (p: f32[2,4]) -> f32[2,4] {
  ROOT %dot.1 = f32[2,4]{1,0} dot(%p, %p), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%body (t: (s32[], f32[2,4])) -> (s32[], f32[2,4]) {
  %fused = f32[2,4]{1,0} fusion(%gte), kind=kOutput, calls=%inner
  %all-reduce.3 = f32[2,4]{1,0} all-reduce(%fused), channel_id=1, to_apply=%add
  ROOT %tuple = (s32[], f32[2,4]{1,0}) tuple(%i, %all-reduce.3)
}

%condition (t: (s32[], f32[2,4])) -> pred[] {
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (x: f32[2,6], i: s32[]) -> (f32[2,3], f32[]) {
  %all-gather-start.1 = (f32[2,6]{1,0}, f32[16,6]{1,0}) all-gather-start(%x), dimensions={0}
  %all-gather-done.1 = f32[16,6]{1,0} all-gather-done(%all-gather-start.1)
  %while.2 = (s32[], f32[2,4]{1,0}) while(%init), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %convolution.7 = f32[2,3]{1,0} convolution(%x, %w), dim_labels=bf_io->bf
  ROOT %out = (f32[2,3]{1,0}, f32[]) tuple(%convolution.7, %zero)
}
"""


@pytest.fixture(scope="module")
def rows():
    return _devices.measure(quick=False, small=True)


def test_a_program_is_read_from_its_text():
    program = read_program(TEXT)
    assert program.arguments == ((2, 6), ())
    assert program.results == ((2, 3), ())
    assert (program.collectives, program.in_loops) == (2, 1)
    assert program.work == 5 * 2 * 4 + 2 * 3
    with pytest.raises(ValueError, match="must be that of a compiled XLA program, got 'module"):
        read_program("module @jit_f")


def test_a_collective_in_a_loop_is_counted():
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    x = jax.device_put(jnp.ones((16, 4)), NamedSharding(mesh, PartitionSpec("rows")))
    each = lambda x: jax.lax.fori_loop(0, 3, lambda _, x: x + x.sum(axis=0), x)  # noqa: E731
    program = read_program(jax.jit(each).lower(x).compile().as_text() or "")
    assert program.in_loops >= 1
    assert program.arguments[0] == (2, 4)


@pytest.mark.slow
def test_eight_devices_give_the_values_of_one(rows):
    assert {row["devices"] for row in rows} == {1, 8}
    for row in rows:
        assert row["forced"]
        assert row["max_difference"] < 1e-6
        assert row["program_inputs"][0] == row["inputs"] // row["devices"]


@pytest.mark.slow
def test_no_loop_waits_for_other_devices(rows):
    assert [row["name"] for row in rows if row["collectives_in_loops"]] == []
    assert [row["name"] for row in rows if row["way"] == "shard_map" and row["collectives"]] == []


@pytest.mark.slow
def test_the_work_is_split_evenly(rows):
    """Except for blocks of one example, which the compiler cannot split."""
    split = [row for row in rows if row["way"] == "shard_map" or "one example" not in row["name"]]
    assert len(split) == len(rows) - 2
    assert [row["work_ratio"] for row in split] == [1] * len(split)


@pytest.mark.slow
def test_rows_hold_every_time_and_the_efficiency(rows):
    assert len({row["name"] for row in rows}) == len(rows)
    for row in rows:
        assert row["seconds_each"] == [row["seconds"]]
        alone = next(
            other
            for other in rows
            if (other["explainer"], other["way"], other["devices"]) == (row["explainer"], row["way"], 1)
        )
        assert row["efficiency"] == pytest.approx(alone["seconds"] / row["seconds"] / row["devices"])
    printed = io.StringIO()
    Console(file=printed, width=250).print(_devices.table(rows))
    assert printed.getvalue().count("forced cpu") == len(rows)
    assert "their efficiency means nothing" in printed.getvalue()
