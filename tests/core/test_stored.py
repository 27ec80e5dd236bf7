"""Constants on disk: written where the user keeps compiled programs, read back as they were, and mended."""

import jax
import numpy as np
import pytest

from xaijax._core import stored as module
from xaijax._core.stored import stored
from xaijax.shap import _chosen_pairs, _process

ARRAYS = {"numbers": np.arange(6, dtype=np.float32).reshape(2, 3), "flags": np.array([True, False])}

KEY = (1, "a", np.ones(3))


@pytest.fixture
def kept(tmp_path):
    before = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


class Computed:
    """Counts how often constants are computed."""

    def __init__(self):
        self.count = 0

    def __call__(self, key=KEY, sources=()):
        def compute():
            self.count += 1
            return ARRAYS

        arrays = stored("test", key, compute, sources)
        assert list(arrays) == list(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], array, strict=True)
        return self.count


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_constants_are_computed_once_and_again_for_other_keys_code_and_versions(kept, monkeypatch):
    computed = Computed()
    assert [computed(), computed()] == [1, 1]
    assert computed((2, "a", np.ones(3))) == 2
    assert computed((1, "a", np.zeros(3))) == 3
    assert computed((1, "a", np.ones(3, np.float32))) == 4
    assert computed(sources=(module,)) == 5
    monkeypatch.setattr(module, "__version__", "another")
    assert computed() == 6
    assert [path.suffix for path in files(kept)] == [".npz"] * 6


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:-40], lambda b: b[:90] + b"xxxx" + b[94:], lambda b: b"{}"]
)
def test_a_damaged_file_is_written_anew(kept, damage):
    computed = Computed()
    computed()
    (file,) = files(kept)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert [computed(), computed()] == [2, 2]
    assert files(kept) == [file]
    assert len(file.read_bytes()) == len(whole)


def test_nothing_is_written_without_a_folder_or_where_none_may_be_or_of_large_constants(kept, monkeypatch):
    computed = Computed()
    monkeypatch.setattr(module, "_MOST_BYTES", 20)
    assert [computed(), computed()] == [1, 2]
    monkeypatch.undo()
    (kept / "file").touch()
    for folder in (None, "gs://bucket/folder", str(kept / "file")):
        jax.config.update("jax_compilation_cache_dir", folder)
        computed()
    assert computed.count == 5
    assert files(kept) == [kept / "file"]


def test_a_process_and_its_pairs_are_read_as_they_were_computed(kept, monkeypatch):
    def constants():
        _chosen_pairs.chosen_pairs.cache_clear()
        _process.process.cache_clear()
        pairs = _chosen_pairs.chosen_pairs(6, 20)
        return pairs.coalitions, *_process.process(pairs, 20)

    computed = constants()
    assert [path.name.split("-")[0] for path in files(kept)] == ["pairs", "process"]
    monkeypatch.delattr(_process, "posterior")
    monkeypatch.delattr(_chosen_pairs, "_best")
    for read, before in zip(constants(), computed, strict=True):
        np.testing.assert_array_equal(read, before, strict=True)
