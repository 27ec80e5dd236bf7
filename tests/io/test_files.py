"""Files hold what was saved, bit for bit; damage, full disks and foreign files end in one sentence."""

import errno
import os
import resource
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xaijax as xai
from tests import models
from tests.explainers import CASES
from xaijax._io import archive, atomic


def small(count=3, **fields):
    values = jnp.arange(2.0 * count).reshape(count, 2) - 1
    return xai.Attribution(values=values, output=values.sum(axis=1), base_value=jnp.zeros(count), method="m", **fields)


def same(left, right):
    assert type(left) is type(right)
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()


# One of each class and layout of an attribution; the explainers that share these take long to compile.
KEPT = ("cam, several layers", "shap.values, all outputs", "shap.interactions", "shap.exact, regions", "lime.text")


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name, marks=() if name in KEPT else pytest.mark.slow) for name, case in CASES.items()],
)
def test_what_is_saved_is_loaded_bit_for_bit(case, tmp_path):
    attribution = case(case.model(), case.inputs())
    path = xai.save(tmp_path / "attribution", attribution)
    assert path == tmp_path / "attribution.npz"
    same(xai.load(path), attribution)


@pytest.mark.parametrize(
    "fields",
    [
        {"names": ("height", "weight")},
        {"names": (("a", "b"), ("c", "d"), ("ü\ud800", ""))},
        {"output_names": ("yes",), "efficient": True, "choices": (("exact", "few players"), ("kernel", ""))},
        {"inputs": jnp.array([[1, 2], [3, 4], [5, -6]]), "choice": jnp.array([0, 1, 0])},
        {"std_errors": jnp.full((3, 2), jnp.nan), "converged": jnp.array([True, False, True])},
    ],
)
def test_names_choices_and_inputs_are_kept(fields, tmp_path):
    same(xai.load(xai.save(tmp_path / "a", small(**fields))), small(**fields))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float8_e4m3fn, jnp.complex64, jnp.int8, jnp.uint32])
def test_every_dtype_comes_back(dtype, tmp_path):
    attribution = small(inputs=jnp.arange(6).reshape(3, 2).astype(dtype))
    same(xai.load(xai.save(tmp_path / "a", attribution)), attribution)


def test_64_bits_are_kept_whether_jax_has_them_or_not(tmp_path):
    values = np.array([[1 / 3, 1e300]])
    attribution = xai.Attribution(values, values.sum(axis=1), target=np.array([2**40]))
    path = xai.save(tmp_path / "wide", attribution)
    with pytest.warns(
        UserWarning, match=r"values: float64.* stay NumPy arrays, .*'jax_enable_x64', True\) before"
    ) as record:
        loaded = xai.load(path)
    assert record[0].filename == __file__
    same(loaded, attribution)
    assert isinstance(loaded.values, np.ndarray)
    with jax.enable_x64(True):
        wide = xai.load(path)
        assert isinstance(wide.values, jax.Array)
        same(wide, attribution)


def test_a_path_may_lack_its_suffix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("foo", "foo.bar", "with space", "é"):
        assert str(xai.save(name, small())) == f"{name}.npz"
        same(xai.load(name), small())
        assert xai.load_options(name) == {}
    (tmp_path / "foo").mkdir()  # a folder that is no store is no candidate
    same(xai.load("foo"), small())
    (tmp_path / "foo.zip").write_bytes((tmp_path / "foo.npz").read_bytes())
    with pytest.raises(
        ValueError, match=r"`path` must name one file, got foo, which may be any of \['foo.npz', 'foo.zip'\]"
    ):
        xai.load("foo")
    same(xai.load("foo.npz"), small())


def test_rows_can_be_chosen(tmp_path):
    path = xai.save(tmp_path / "a", small())
    same(xai.load(path, rows=[2, 0]), small()[[2, 0]])
    same(xai.load(path, rows=1), small()[1])
    with pytest.raises(TypeError, match="`batch_size` must be left out for .*, which holds an attribution"):
        xai.load(path, batch_size=3)


def test_options_are_kept(tmp_path):
    path = xai.save(tmp_path / "a", small(), options={"seed": 3, "layers": ["a", "b"]})
    assert xai.load_options(path) == {"seed": 3, "layers": ["a", "b"]}
    nested = current = []
    for _ in range(500):
        current.append([])
        current = current[0]
    for options in ({"key": jax.random.key(0)}, {"a": {1: 2}}, {"a": nested}, [1], {2: 3}):
        with pytest.raises(TypeError, match="`options` must be "):
            xai.save(tmp_path / "b", small(), options=options)
    assert not (tmp_path / "b.npz").exists()


def test_what_is_no_attribution_of_numbers_is_not_saved(tmp_path):
    for wrong, message in (
        (models.rows(2), "`attribution` must be the result of an explainer"),
        (small(inputs=np.array([["a", None]] * 3, object)), "`inputs` must be an array of numbers, got object"),
        (small(inputs=np.array([["a", "b"]] * 3)), "`inputs` must be an array of numbers, got <U1"),
        (small(inputs=np.ma.array(np.ones((3, 2)), mask=[[0, 1]] * 3)), "without missing values, got a masked array"),
    ):
        with pytest.raises(TypeError, match=message):
            xai.save(tmp_path / "x", wrong)
    with pytest.raises(TypeError, match="got traced arrays: save it outside of jax.jit"):
        jax.jit(lambda attribution: xai.save(tmp_path / "x", attribution))(small())
    for path in (3, None, b"bytes", "nul\0"):
        with pytest.raises(TypeError, match="`path` must be a path"):
            xai.save(path, small())
        with pytest.raises(TypeError, match="`path` must be a path"):
            xai.load(path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)], ids=["every seventh", "every one"])
def test_every_flipped_bit_is_noticed(tmp_path, step):
    path = xai.save(tmp_path / "a", small(1, std_errors=jnp.ones((1, 2))))
    whole = bytearray(path.read_bytes())
    for bit in range(0, 8 * len(whole), step):
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        with pytest.raises(ValueError, match="damaged|cut short"):
            xai.load(path)
        whole[bit // 8] ^= 1 << bit % 8
    path.write_bytes(whole)
    same(xai.load(path), small(1, std_errors=jnp.ones((1, 2))))


def test_files_that_are_cut_short_or_foreign_are_refused(tmp_path):
    whole = xai.save(tmp_path / "a", small()).read_bytes()
    np.savez(tmp_path / "numpy.npz", values=np.zeros(3))
    np.savez(tmp_path / "objects.npz", values=np.array([None, {}], object))
    for name, content in (
        *((f"cut-{size}.npz", whole[:size]) for size in (0, 10, len(whole) // 2, len(whole) - 1)),
        ("text.npz", b"no zip at all" * 100),
        ("numpy.npz", (tmp_path / "numpy.npz").read_bytes()),
        ("objects.npz", (tmp_path / "objects.npz").read_bytes()),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot be read: it is cut short or damaged, or neither xai\.save"):
            xai.load(tmp_path / name)


def sealed(path, entries, compression=zipfile.ZIP_STORED):
    """A file with any content and a right checksum, as a hostile writer makes it."""
    with open(path, "w+b") as file:
        with zipfile.ZipFile(file, "w", compression) as made:
            for name, content in entries.items():
                made.writestr(name, content)
            made.comment = b"xaijax " + bytes(64)
        archive._seal(file)
    return path


def entries_of(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"float32", [3, 2]', b'"float32", [2, 3]', r"says that values is float32\[2, 3\], but it is float32\[3, 2\]"),
        (b'"float32", [3, 2]', b'"float64", [3, 2]', "says that values is float64"),
        (b'"float32", [3, 2]', b'"object", [3, 2]', "says that values is object"),
        (b'"base_value"', b'"std_errors"', r"its header names \[.*std_errors.*\], but it holds \[.*base_value"),
        (
            b'"format": 2',
            b'"format": 99',
            "has format 99, but this version of xaijax reads up to 2: a newer version wrote it",
        ),
        (b'"type": "attribution"', b'"type": "map"', "holds a 'map', which this version of xaijax does not know"),
        (b'"class": "Attribution"', b'"class": "Map"', "holds a 'Map', which this version of xaijax does not know"),
        (b'"class": "Attribution"', b'"class": "Surrogate"', "its fields are not those of Surrogate"),
        (b'{"type"', b'["type"', "its header is not JSON"),
        (b'"type"', b'"sort"', "does not say what it holds"),
    ],
)
def test_headers_that_do_not_agree_with_the_arrays_are_refused(tmp_path, old, new, message):
    entries = entries_of(xai.save(tmp_path / "a", small()))
    assert old in entries["header.json"]
    entries["header.json"] = entries["header.json"].replace(old, new, 1)
    with pytest.raises(ValueError, match=message):
        xai.load(sealed(tmp_path / "b.npz", entries))


def test_content_that_would_inflate_is_refused(tmp_path):
    entries = entries_of(xai.save(tmp_path / "a", small())) | {"values.npy": bytes(2**28)}
    path = sealed(tmp_path / "bomb.npz", entries, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    with pytest.raises(
        ValueError, match=r"is refused: its content would take 268,\d+,\d+ bytes, more than the file itself"
    ):
        xai.load(path)


@pytest.mark.parametrize("failing", ["size", "flush", "rename"])
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, failing):
    path = xai.save(tmp_path / "a", small())
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    message = r"a.npz cannot be written, as the disk is full: free some space. A file that was there is unchanged"
    with monkeypatch.context() as patch:
        if failing == "size":
            message = r"a.npz cannot be written, as a file there may not grow that large"
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        else:
            patch.setattr(os, "fsync" if failing == "flush" else "replace", full)
        try:
            with pytest.raises(OSError, match=message):
                xai.save(path, small(100))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    assert path.read_bytes() == before
    same(xai.load(path), small())


def test_paths_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").write_text("text")
    for path, error, message in (
        (tmp_path / "none" / "a", FileNotFoundError, "there is no folder '.*none': create it first"),
        (tmp_path / "folder", IsADirectoryError, "its path is that of a folder"),
        (tmp_path / "file" / "a", NotADirectoryError, "a part of its path is a file and not a folder"),
        (tmp_path / ("x" * 300), OSError, "its name is too long"),
    ):
        with pytest.raises(error, match=f"cannot be written, as {message}"):
            xai.save(path, small())
    with pytest.raises(ValueError, match="`path` must name a file or a folder"):
        xai.save("", small())


def test_symbolic_links_are_followed(tmp_path):
    (tmp_path / "there").mkdir()
    path = xai.save(tmp_path / "there" / "a", small())
    (tmp_path / "link.npz").symlink_to(path)
    xai.save(tmp_path / "link", small(5))
    assert (tmp_path / "link.npz").is_symlink()
    same(xai.load(path), small(5))
    path.unlink()
    with pytest.raises(FileNotFoundError, match="is a symbolic link to .*a.npz, which does not exist"):
        xai.load(tmp_path / "link")
    same(xai.load(xai.save(tmp_path / "link", small())), small())


def test_a_missing_file_is_named_with_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none does not exist, and neither do .*none.npz or .*none.zip"):
        xai.load(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="holds no store of explanations"):
        xai.load(tmp_path / "folder")


def test_permissions_stay(tmp_path):
    path = xai.save(tmp_path / "a", small())
    path.chmod(0o600)
    xai.save(path, small(4))
    assert path.stat().st_mode & 0o777 == 0o600


def test_numpy_reads_the_arrays(tmp_path):
    with np.load(xai.save(tmp_path / "a", small())) as file:
        np.testing.assert_array_equal(file["values"], small().values)


def test_equal_content_makes_equal_files(tmp_path):
    assert xai.save(tmp_path / "a", small()).read_bytes() == xai.save(tmp_path / "b", small()).read_bytes()


def test_json_files_notice_any_change(tmp_path):
    path = tmp_path / "a.json"
    archive.write_json(path, {"a": [1, 2.5, None], "b": "ü"})
    assert archive.read_json(path) == {"a": [1, 2.5, None], "b": "ü"}
    whole = bytearray(path.read_bytes())
    for bit in range(8 * len(whole)):
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        with pytest.raises(
            ValueError, match=r"a.json is damaged \(it is not JSON|a.json is damaged \(its checksum differs"
        ):
            archive.read_json(path)
        whole[bit // 8] ^= 1 << bit % 8


def test_there_is_one_atomic_writer():
    """os.replace is called by it alone."""
    package = Path(xai.__file__).parent
    callers = [path for path in package.rglob("*.py") if "os.replace(" in path.read_text(encoding="utf-8")]
    assert callers == [Path(atomic.__file__)]
