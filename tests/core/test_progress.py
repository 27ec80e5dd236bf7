"""The progress line: where it appears, what it says, that it goes, and that it costs nothing elsewhere.

Models here wait for what is on the screen, so that no test depends on how fast it runs.
"""

import contextlib
import functools
import io
import re
import signal
import sys
import threading
import time
import timeit

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rich.console import Console
from rich.live import Live
from rich.progress import Progress

import xaijax as xai
from xaijax._core import progress
from xaijax._core.compile import compiled
from xaijax.shap import _process

_CODE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal(io.StringIO):
    """What stderr is on a terminal, and what was written there."""

    def isatty(self):
        return True

    @property
    def text(self):
        return _CODE.sub("", self.getvalue())

    def shows(self, *words, seconds=10):
        """Waits until all the words have been on one line together."""
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            if any(all(word in line for word in words) for line in re.split(r"[\r\n]", self.text)):
                return True
            time.sleep(0.005)
        raise AssertionError(f"{words} never came: {self.text!r}")

    @property
    def left(self):
        """What is left on the screen: what was written after the last line was cleared."""
        return _CODE.sub("", self.getvalue().rpartition("\x1b[2K")[2])


@pytest.fixture
def terminal(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def on_terminal(test):
    """Runs a test with stderr on its terminal (a fixture could not: pytest puts its own stderr behind fixtures)."""

    @functools.wraps(test)
    def run(*arguments, terminal, **options):
        with contextlib.redirect_stderr(terminal):
            test(*arguments, terminal=terminal, **options)
            assert sys.stderr is terminal  # given back
        assert not progress._screen.busy

    return run


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 0.02)


@pytest.fixture
def unwatched(monkeypatch):
    """Whoever would start a thread or wait for a result fails."""

    def fail(*_, **__):
        raise AssertionError("this call must not be watched")

    monkeypatch.setattr(progress, "_watching", fail)
    monkeypatch.setattr(progress, "_wait", fail)


def add(coalitions):
    return coalitions @ jnp.array([4.0, 7.0, 5.0])


def game_that(on_host=lambda: None, while_traced=lambda: None):
    """Three players whose game runs something while it is traced, and something else while it is computed."""

    def host(worth):
        on_host()
        return worth

    def value(coalitions):
        while_traced()
        worth = add(coalitions)
        return jax.pure_callback(host, jax.typeof(worth), worth)

    return xai.Game(value, num_players=3)


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_a_line_names_the_explainer_and_what_it_does_and_goes(terminal, monkeypatch):
    def tracing():  # first for its shapes
        stages.append("tracing")
        terminal.shows("SHAP: tracing" if len(stages) > 1 else "model: tracing")

    stages, compile = [], jax.stages.Lowered.compile

    def compiling(lowered):
        stages.append("compiling")
        terminal.shows("SHAP: compiling")
        return compile(lowered)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compiling)
    game = game_that(lambda: stages.append("running") or terminal.shows("SHAP: running", "0:0"), tracing)
    attribution = xai.shap.exact(game)
    np.testing.assert_allclose(attribution.values, [4, 7, 5], rtol=1e-6)
    assert list(dict.fromkeys(stages)) == ["tracing", "compiling", "running"]
    assert terminal.left.strip() == ""
    assert terminal.getvalue().rstrip("\r\n").endswith("\x1b[2K")
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is back


@on_terminal
def test_what_takes_less_than_two_seconds_shows_nothing(terminal):
    assert progress._PATIENCE == 2.0
    attributions = [xai.shap.exact(xai.Game(add, num_players=3)) for _ in range(5)]
    assert terminal.getvalue() == ""
    assert all(leaf.is_ready() for leaf in jax.tree.leaves(attributions))  # they were waited for


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_the_thread_that_looks_ends_when_there_is_nothing_to_look_at(terminal):
    progress.watch("work", lambda _: terminal.shows("work: preparing"))
    last = time.monotonic() + 10
    while any(thread.name == "xaijax progress" for thread in threading.enumerate()):
        assert time.monotonic() < last
        time.sleep(0.01)
    progress.watch("more", lambda _: terminal.shows("more: preparing"))  # and comes back
    assert terminal.left.strip() == ""


@pytest.mark.usefixtures("unwatched")
def test_without_a_terminal_nothing_is_watched(monkeypatch):
    for stream in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("FORCE_COLOR", "1")  # color is no terminal
        np.testing.assert_allclose(xai.shap.exact(xai.Game(add, num_players=3)).values, [4, 7, 5], rtol=1e-6)
        assert stream is None or stream.getvalue() == ""


def test_without_a_terminal_a_call_costs_a_look_at_stderr(monkeypatch):
    with open("/dev/null", "w") as stream:  # a real file, which the system is asked about
        monkeypatch.setattr(sys, "stderr", stream)
        assert not progress.visible()
        assert min(timeit.repeat(progress.visible, number=1000, repeat=7)) / 1000 < 20e-6


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize("way", ["jit", "closed over", "vmap", "grad", "scan"])
@on_terminal
def test_within_transformations_nothing_is_watched(terminal, way):
    weights = jnp.array([4.0, 7.0, 5.0])

    def total(weights):
        game = xai.Game(xai.function(lambda w, z: z @ w, weights), num_players=3)
        return xai.shap.exact(game).values.sum()

    if way == "jit":
        found = jax.jit(total)(weights)
    elif way == "closed over":
        found = jax.jit(lambda: total(weights))()
    elif way == "vmap":
        found = jax.vmap(total)(weights[None])[0]
    elif way == "grad":
        found = jax.grad(total)(weights) @ weights
    else:
        found = jax.lax.scan(lambda carry, w: (carry + total(w), None), 0.0, weights[None])[0]
    assert float(found) == pytest.approx(16, rel=1e-6)


@on_terminal
def test_the_program_is_the_same_with_a_terminal_and_without_it(terminal):
    square = compiled(lambda x: x**2, title="square")
    with_terminal = square.lower(jnp.ones(3)).as_text()
    with xai.progress(False):
        assert square.lower(jnp.ones(3)).as_text() == with_terminal
    assert terminal.getvalue() == ""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", ["one device", "sharded", "explicit mesh"])
@on_terminal
def test_nothing_is_traced_or_compiled_twice(terminal, caplog, where):
    traces = []

    @compiled(title="counted")
    def counted(x):
        traces.append(terminal.shows("counted: tracing"))
        return jnp.tanh(x) + 1

    x = jnp.zeros(8)
    if where != "one device":
        kind = AxisType.Explicit if where == "explicit mesh" else AxisType.Auto
        x = jax.device_put(x, NamedSharding(jax.make_mesh((8,), ("rows",), (kind,)), PartitionSpec("rows")))
    with jax.log_compiles():
        for enabled in (True, False, True):
            with xai.progress(enabled):
                np.testing.assert_array_equal(counted(x), np.ones(8))
    assert len(traces) == 1
    assert caplog.text.count("Finished XLA compilation of jit(counted)") == 1


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_without_jit_the_model_sees_values(terminal):
    seen = []

    @compiled(title="by hand")
    def by_hand(x):
        seen.append(float(x))
        terminal.shows("by hand: running")
        return x + 1

    with jax.disable_jit():
        assert float(by_hand(jnp.float32(2))) == 3
    assert seen == [2]


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_an_exception_passes_and_the_line_goes(terminal):
    def fail():
        terminal.shows("tracing")
        raise LookupError("no such table")

    with pytest.raises(LookupError, match="no such table"):
        xai.shap.exact(game_that(while_traced=fail))
    assert terminal.left.strip() == ""
    assert progress._here.watched is None


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_an_interrupt_is_heard_while_the_result_is_awaited(terminal, monkeypatch):
    monkeypatch.setattr(progress, "_arrived", lambda arrays: len(arrays) == 0)  # never

    def interrupt():
        terminal.shows("SHAP: running")
        signal.raise_signal(signal.SIGINT)  # Python's handler runs in the main thread

    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in processes behind the scenes
    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            xai.shap.exact(xai.Game(add, num_players=3))
    finally:
        signal.signal(signal.SIGINT, usual)
    helper.join()
    assert terminal.left.strip() == ""


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_nested_calls_are_stages_of_one_line(terminal):
    inner = compiled(lambda x: x + 1, title="inner")

    def front(x):
        terminal.shows("outer: preparing")
        return inner(x) + inner(2 * x)

    assert float(progress.watched("outer")(front)(jnp.float32(1))) == 5
    assert "inner" not in terminal.text
    # Each time it is drawn in the place of what was there, and leaves it by one line at the end.
    assert terminal.text.count("\n") == 1


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_calls_of_several_threads_share_one_display(terminal):
    together = threading.Barrier(2)

    def slow(x):
        together.wait(10)
        terminal.shows("one:")
        terminal.shows("two:")
        together.wait(10)
        return x

    found = {}

    def call(name):
        found[name] = progress.watch(name, lambda _: slow(jnp.ones(2)))

    threads = [threading.Thread(target=call, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {"one", "two"}
    assert terminal.left.strip() == ""


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_steps_on_the_host_have_a_bar(terminal):
    items = ["a", "b", "c"]
    seen = []

    def work(_):
        for number, item in enumerate(progress.steps("constants", items)):
            terminal.shows("work: constants", "━", f"{number}/3")
            seen.append(item)
        return jnp.ones(())

    progress.watch("work", work)
    assert seen == items
    assert terminal.left.strip() == ""
    assert progress.steps("constants", items) is items  # nobody watches


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_the_constants_of_the_gaussian_process_are_steps(terminal, monkeypatch, key):
    kernel, calls = _process.kernel, []

    def shown(*arguments):
        if len(calls) < 2:
            terminal.shows("shap.gaussian_process: constants", f"{len(calls)}/8")
        calls.append(arguments)
        return kernel(*arguments)

    monkeypatch.setattr(_process, "kernel", shown)
    monkeypatch.setattr(_process, "stored", lambda _name, _key, compute, _sources: compute())
    game = xai.Game(lambda z: z @ jnp.arange(13.0), num_players=13)
    attribution = xai.shap.gaussian_process(game, key=key, num_evaluations=68)
    np.testing.assert_allclose(attribution.values, np.arange(13), atol=2e-2)
    assert len(calls) == 8
    assert terminal.left.strip() == ""


@pytest.mark.usefixtures("unwatched")
@on_terminal
def test_one_argument_turns_it_off_and_on(terminal, monkeypatch):
    monkeypatch.setattr(progress._Switch, "on", True)
    assert progress.visible()
    with xai.progress(False):
        assert not progress.visible()
        xai.shap.exact(xai.Game(add, num_players=3))
        with xai.progress(True):
            assert progress.visible()
        assert not progress.visible()
        seen = []
        thread = threading.Thread(target=lambda: seen.append(progress.visible()))
        thread.start()
        thread.join()
        assert seen == [False]
    assert progress.visible()
    xai.progress(False)  # from now on
    assert not progress.visible()
    with pytest.raises(TypeError, match="`enabled` must be True or False, got 'off'"):
        xai.progress("off")  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("name", "value", "shown"), [("TERM", "dumb", False), ("NO_COLOR", "1", True)])
@on_terminal
def test_the_environment_is_heard(terminal, monkeypatch, name, value, shown):
    monkeypatch.setenv(name, value)

    def work(_):
        if shown:
            terminal.shows("work: preparing")
        time.sleep(0.1)
        return ()

    progress.watch("work", work)
    assert bool(terminal.getvalue()) == shown
    assert "\x1b[36m" not in terminal.getvalue()  # cyan, which the line has elsewhere


@pytest.mark.usefixtures("impatient", "unwatched")
@on_terminal
def test_a_display_of_the_callers_own_is_left_alone(terminal):
    with Progress(console=Console(file=terminal, force_terminal=True)):
        assert not progress.visible()
        xai.shap.exact(xai.Game(add, num_players=3))
    assert "SHAP" not in terminal.text


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_what_is_printed_meanwhile_stays_and_a_piped_stdout_is_left_alone(terminal, monkeypatch):
    piped = io.StringIO()
    monkeypatch.setattr(sys, "stdout", piped)

    def work(_):
        terminal.shows("work: preparing")
        print("a warning", file=sys.stderr)
        assert sys.stdout is piped
        print("a result")
        return ()

    progress.watch("work", work)
    assert piped.getvalue() == "a result\n"
    assert "a warning\n" in terminal.text.replace("\r", "")
    assert terminal.left.strip() == ""


@pytest.mark.usefixtures("impatient")
@on_terminal
def test_a_terminal_that_is_gone_does_not_stop_the_call(terminal, monkeypatch):
    def gone(*_):
        raise OSError("no such device")

    monkeypatch.setattr(Live, "start", gone)
    found = progress.watch("work", lambda _: time.sleep(0.1) or 3)
    assert found == 3
    assert terminal.getvalue() == ""
