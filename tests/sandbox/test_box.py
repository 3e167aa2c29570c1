"""The box: whatever a cell does, every other cell gets its result."""

import base64
import contextlib
import os
import signal
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import torch

from trainloop.checks import values
from trainloop.checks.values import Json
from trainloop.sandbox import isolation
from trainloop.sandbox.box import Box
from trainloop.sandbox.hosts import BoxError, Forks
from trainloop.sandbox.job import Job, Limits, Step, StepResult
from trainloop.sandbox.outputs import Outputs
from trainloop.sandbox.reports import parse

LIMITS = Limits(cell_seconds=1.5, total_seconds=30.0, memory_bytes=2 * 2**30, output_chars=2_000, figures=2)
RELU = "import torch\ndef relu(x):\n    return x.clamp(min=0)"
CHECK = 'check("relu", {"a": lambda: relu(torch.tensor([-1.0, 2.0]))})'


@pytest.fixture(scope="module", params=isolation.LEVELS)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    os.environ["NBGRADER_TOKEN"] = "secret"
    with Box(LIMITS, level=request.param) as opened:
        del os.environ["NBGRADER_TOKEN"]
        yield opened


def job(*sources: str, given: dict[str, Json] | None = None) -> Job:
    """A job with cells named 0, 1, ...; those that call `check` are checks."""
    kinds = ["check" if source.startswith("check(") else "code" for source in sources]
    steps = tuple(Step(str(i), kind, source) for i, (kind, source) in enumerate(zip(kinds, sources, strict=True)))  # type: ignore[arg-type]
    return Job(steps, given or {})


def run(box: Box, *sources: str, given: dict[str, Json] | None = None) -> list[StepResult]:
    return list(box.run(job(*sources, given=given)).values())


def text(result: StepResult) -> str:
    return "".join(one["text"] for one in result.outputs if one["output_type"] == "stream")


def right(result: StepResult) -> bool:
    """Whether the check cell CHECK saw what it should."""
    expected = {"saw": "value", "value": values.encode(torch.tensor([0.0, 2.0]))}
    return result.status == "ok" and result.checks == {"relu": {"a": expected}}


IMPORTED = """\
import sys
before = set(sys.modules)
import matplotlib.pyplot, numpy, sklearn.datasets, torch.utils.data
from trainloop import animate, check, explore, given, hint, show
print(*sorted(set(sys.modules) - before))"""


def test_what_lessons_import_has_been_loaded_before(box: Box) -> None:
    """All but what is light and ours: each submission, and each answer of a build, would load it anew."""
    (imported,) = run(box, IMPORTED)
    assert imported.status == "ok"
    assert {name.partition(".")[0] for name in text(imported).split()} == {"trainloop"}


def test_a_good_submission(box: Box) -> None:
    code, check = run(box, RELU, CHECK)
    assert code == StepResult("ok", code.seconds)
    assert right(check)
    assert check.outputs == []


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        ("import os; os._exit(0)", "crashed"),
        ("import ctypes; ctypes.string_at(0)", "crashed"),
        ("import os; os.closerange(3, 1000)", "crashed"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "out of memory"),
        ("while True: pass", "timeout"),
        ("import time\ntry:\n    time.sleep(60)\nfinally:\n    time.sleep(60)", "timeout"),
        ("hoard = [bytes(100_000_000) for _ in range(1_000)]", "out of memory"),
        ("hoard = []\nwhile True:\n    hoard.append(bytes(1_000_000))", "out of memory"),
        ("import torch; torch.zeros(10**13)", "out of memory"),
        ("import nowhere_to_be_found", "error"),
        ("def broken(:", "error"),
        ("import sys; sys.exit()", "error"),
        ("exit()", "error"),
        ("raise KeyboardInterrupt", "error"),
        ("input('your name?')", "error"),
        ("def deeper(): return deeper()\ndeeper()", "error"),
        ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "error"),
        ("%nosuchmagic", "error"),
        ("!ls /\nfound = !pwd\n%pip install torch", "ok"),
        ("import os\nif os.fork() == 0: raise ValueError('the copy')", "ok"),
        ("import sys; sys.stdout = sys.stderr = None", "ok"),
        ("import atexit, os; atexit.register(os._exit, 7)", "ok"),
    ],
)
def test_trouble_in_one_cell_leaves_the_others_alone(box: Box, trouble: str, status: str) -> None:
    first, bad, relu, check = run(box, "print('kept')", trouble, RELU, CHECK)
    assert bad.status == status
    assert text(first) == "kept\n"
    assert relu.status == "ok"
    assert right(check)


def test_an_error_is_described_by_the_students_line(box: Box) -> None:
    helper, bad = run(box, "def helper():\n    return 1 / 0", "x = 1\nhelper()")
    assert helper.status == "ok"
    assert bad.error == {
        "saw": "raised",
        "type": "ZeroDivisionError",
        "message": "division by zero",
        "line": 2,
        "code": "return 1 / 0",
    }
    (output,) = bad.outputs
    lines = "\n".join(output["traceback"])
    assert output["ename"] == "ZeroDivisionError"
    assert "cell 1, line 2" in lines and "cell 0, line 2" in lines and "\x1b" not in lines


def test_a_loop_within_an_observation_costs_that_one_and_those_after_it_in_the_cell(box: Box) -> None:
    loop = "def relu(x):\n    while len(x) == 3: pass\n    return x"
    titles = 'check("relu", {"a": lambda: relu([1]), "b": lambda: relu([1, 2, 3]), "c": lambda: relu([])})'
    _, stuck, other, check = run(box, loop, titles, RELU, CHECK)
    assert stuck.status == "timeout"
    assert list(stuck.checks["relu"]) == ["a"]
    assert stuck.seconds >= LIMITS.cell_seconds
    assert other.status == "ok" and right(check)


def test_each_observation_has_its_own_time(box: Box) -> None:
    slow = "import time\ndef nap():\n    time.sleep(0.6)\n    return 1"
    _, check = run(box, slow, 'check("nap", {"a": nap, "b": nap, "c": nap, "d": nap})')
    assert check.status == "ok" and len(check.checks["nap"]) == 4


def test_what_observations_see(box: Box) -> None:
    code = (
        "import sys, os, warnings, torch\nwarnings.simplefilter('error')\ntorch.set_grad_enabled(False)\n"
        "torch.set_default_dtype(torch.float64)\n"
        "def leave(): sys.exit()\ndef stop(): raise KeyboardInterrupt\ndef fill(): raise MemoryError\n"
        "def warn():\n    warnings.warn('careful')\n    print('noise')\n    return 1\n"
        "def stub(): raise NotImplementedError\ndef grow(): return torch.zeros(10_000_000)\n"
    )
    check = (
        'check("all", {"leave": leave, "stop": stop, "fill": fill, "warn": warn, "stub": stub, "grow": grow,'
        ' "none": lambda: nowhere, "one": lambda: torch.rand(2), "two": lambda: torch.rand(2),'
        ' "grad": lambda: torch.is_grad_enabled(), "given": lambda: given("w").mul_(2), "again": lambda: given("w"),'
        ' "unknown": lambda: given("v")})'
    )
    _, result = run(box, code, check, given={"w": values.encode(torch.ones(2))})
    seen = result.checks["all"]
    assert [seen[title].get("type") for title in ("leave", "stop", "fill", "grow", "unknown")] == [
        "SystemExit",
        "KeyboardInterrupt",
        "MemoryError",
        "TooLarge",
        "KeyError",
    ]
    assert seen["warn"] == {"saw": "value", "value": {"type": "int", "data": 1}}
    assert seen["stub"] == {"saw": "stub"}
    assert seen["none"]["saw"] == "missing" and seen["none"]["name"] == "nowhere"
    assert seen["one"] == seen["two"] and seen["one"]["value"]["dtype"] == "float32"
    assert seen["grad"]["value"]["data"] is True
    assert values.array(seen["given"]["value"]).tolist() == [2, 2]
    assert values.array(seen["again"]["value"]).tolist() == [1, 1]


def test_a_check_cell_that_fails_by_itself(box: Box) -> None:
    check, other, last = run(box, 'check("relu", {"a": lambda: 1}); 1 / 0', RELU, CHECK)
    assert check.status == "error" and check.error is not None and check.error["type"] == "ZeroDivisionError"
    assert list(check.checks["relu"]) == ["a"]
    assert other.status == "ok" and right(last)


def test_what_students_put_in_the_way_of_checks(box: Box) -> None:
    tricks = (
        "import ast, sys\n"
        "check = given = lambda *_: None\n"
        "class Liar(ast.NodeTransformer):\n"
        "    def visit_Constant(self, node): return ast.Constant(7.0)\n"
        "get_ipython().ast_transformers.append(Liar())\n"
        "get_ipython().input_transformers_post.append(lambda lines: ['raise ValueError'])\n"
        "sys.displayhook = None\n"
    )
    _, _, check = run(box, RELU, tricks, CHECK)
    assert right(check)


def test_names_of_a_check_cell_stay_there(box: Box) -> None:
    check, code = run(box, 'check("a", {"b": lambda: secret}); secret = 5', "print('secret' in dir())")
    assert check.status == "ok"
    assert text(code) == "False\n"


@pytest.mark.parametrize("garbage", ["b'{' * 3_000_000", "b'\\n[[[\\n\\xff{\"end\": 3}\\n'", "b'[' * 200_000 + b'\\n'"])
def test_garbage_in_every_open_file_is_ignored(box: Box, garbage: str) -> None:
    flood = f"import os\nfor fd in range(64):\n    try: os.write(fd, {garbage})\n    except OSError: pass"
    first, check = run(box, RELU + "\n" + flood, CHECK)
    assert first.status == "ok"
    assert right(check)


@pytest.mark.parametrize(
    "observed",
    [
        '["relu", "a", {"saw": "value", "value": {"type": "Tensor", "dtype": [], "shape": [2], "data": ""}}]',
        '["relu", "a", {"saw": "value", "value": {"type": "float", "data": NaN}}]',
        '["relu", "a", {"saw": ["value"]}]',
        '["relu", "' + "a" * 1_000 + '", {"saw": "stub"}]',
        '["relu", 5, null]',
    ],
)
def test_forged_reports_of_no_sense_are_ignored(box: Box, observed: str) -> None:
    forged = f'\n{{"observed": {observed}}}\n{{"end": "9"}}\n{{"begin": "0"}}\n{{"done": true}}\n'.encode()
    send = f"import os\ndef send():\n    for fd in range(64):\n        try: os.write(fd, {forged!r})\n"
    spy = "        except OSError: pass\nhonest = relu\ndef relu(x):\n    send()\n    return honest(x)\nsend()"
    *_, check = run(box, RELU, send + spy, CHECK)
    assert right(check)


def test_clear_output_makes_room(box: Box) -> None:
    bar = "from IPython.display import clear_output\nfor i in range(9):\n    clear_output()\n    print(str(i) * 1_000)"
    (result,) = run(box, bar)
    assert text(result) == "8" * 1_000 + "\n"


def test_an_endless_flood_of_reports_ends(box: Box) -> None:
    flood = (
        "import os\nwhile True:\n    for fd in range(64):\n"
        "        try: os.write(fd, b'x' * 10_000)\n        except OSError: pass"
    )
    bad, _, check = run(box, flood, RELU, CHECK)
    assert bad.status in ("timeout", "crashed")
    assert right(check) or check.status == "not run"


def test_outputs_are_kept_in_order_and_cut(box: Box) -> None:
    code = "import sys\nprint('one')\ndisplay('two')\nprint('three', file=sys.stderr)\n'four'"
    plot = "import matplotlib.pyplot as plt\n%matplotlib inline\nfor _ in range(3):\n    plt.figure(); plt.plot([1, 2])"
    html = "from IPython.display import HTML, Javascript\ndisplay(HTML('<b>x</b>'), Javascript('alert(1)'))"
    order, plots, inert, long, cut = run(box, code, plot, html, "print('x' * 10_000_000)", "'\\ud800'")
    assert [one.get("text") or one["data"]["text/plain"] for one in order.outputs] == [
        "one\n",
        "'two'",
        "three\n",
        "'four'",
    ]
    images = [one["data"]["image/png"] for one in plots.outputs if one["output_type"] == "display_data"]
    assert len(images) == 2 and all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    assert "2 of a cell are kept" in text(plots)
    assert all(set(one["data"]) == {"text/plain"} for one in inert.outputs)
    assert text(long).startswith("x" * 2_000 + "\n[The rest of this output is cut")
    everything = [nbformat.from_dict(one) for result in (order, plots, inert, long, cut) for one in result.outputs]
    cell = nbformat.v4.new_code_cell("", outputs=everything)
    nbformat.validate(nbformat.v4.new_notebook(cells=[cell]))


CHOICES = (
    "%matplotlib",
    "%matplotlib widget",
    "%matplotlib notebook",
    "%matplotlib qt",
    "%pylab tk",
    "%gui qt",
    "import matplotlib\nmatplotlib.use('TkAgg')",
    "from matplotlib import use\nuse('nonsense', force=False)",
    "import matplotlib\nmatplotlib.rcParams['backend'] = 'agg'",
    "import matplotlib.pyplot as plt\nplt.switch_backend('agg')",
    "import os\nos.environ['MPLBACKEND'] = 'TkAgg'\nget_ipython().enable_matplotlib('tk')",
    "from IPython.core.pylabtools import activate_matplotlib\nactivate_matplotlib('qtagg')",
)


def test_whatever_backend_is_chosen_figures_stay_inline(box: Box) -> None:
    draw = "import matplotlib.pyplot as plt\nplt.figure()\nline = plt.plot([1, 2])"
    results = run(box, *(part for choice in CHOICES for part in (choice, draw)))
    assert [one.status for one in results] == ["ok"] * 2 * len(CHOICES)
    kinds = [[list(one["data"]) for one in result.outputs] for result in results[1::2]]
    assert kinds == [[["text/plain", "image/png"]]] * len(CHOICES)


def test_to_compile_changes_nothing(box: Box) -> None:
    code = (
        "import torch\n@torch.compile\ndef double(x): return 2 * x\n"
        "layer = torch.compile(torch.nn.Linear(2, 1), fullgraph=True, mode='max-autotune')\n"
        "layer(double(torch.ones(2))).backward()\nprint(layer.weight.grad)"
    )
    (result,) = run(box, code)
    assert text(result) == "tensor([[2., 2.]])\n"


def test_a_module_that_a_cell_writes_is_there_and_in_the_way_of_no_other(box: Box) -> None:
    first, second = "%%writefile bending.py\ndef bend(): return 3", "%%writefile statistics.py\nraise SystemExit"
    used = "from bending import bend\nimport statistics\nprint(bend(), statistics.mean([1, 3]))"
    *_, crashed, result = run(box, first, second, "import os\nos._exit(1)", used)
    assert crashed.status == "crashed"
    assert text(result) == "3 2\n"


def test_a_figure_shown_with_its_description_keeps_it(box: Box) -> None:
    plot = "import matplotlib.pyplot as plt\nfrom trainloop import show\nfig, ax = plt.subplots()\n"
    code = plot + "show(fig, alt='one two three four five')"
    (result,) = run(box, code)
    assert [one["metadata"]["image/png"]["alt"] for one in result.outputs] == ["one two three four five"]


@pytest.mark.parametrize(
    "outputs",
    [
        [1, None, "text", [], {}],
        [
            {"output_type": "stream", "name": "stdin", "text": "x"},
            {"output_type": "stream", "name": "stdout", "text": 5},
        ],
        [{"output_type": "display_data", "data": {"text/html": "<script>", "image/png": "AAAA"}, "metadata": 3}],
        [{"output_type": "display_data", "data": {"image/png": "no base64!"}}, {"output_type": "error", "ename": 1}],
    ],
)
def test_outputs_that_are_none_are_dropped(outputs: list[object]) -> None:
    found = Outputs(LIMITS, LIMITS.all_figure_bytes)
    for output in outputs:
        found.add(output)
    assert found.kept() == []


def test_the_figures_of_a_submission_are_bounded_together(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "limits", replace(LIMITS, all_figure_bytes=250_000))
    shown = "from IPython.display import display, Image\ndisplay(Image(b'\\x89PNG\\r\\n\\x1a\\n' + bytes(90_000)))\n"
    first, second, third, small = run(box, shown, shown, shown, "1 + 1")
    kept = [sum("image/png" in one.get("data", {}) for one in result.outputs) for result in (first, second, third)]
    assert kept == [1, 1, 0]
    assert "figures of a whole notebook are kept" in text(third)
    assert small.outputs[0]["data"] == {"text/plain": "2"}


@pytest.mark.parametrize(
    "line",
    [
        b'{"output": "\xed\xa0\x80"}',
        '{"done": true}'.encode("utf-16"),
        '{"done": true}'.encode("utf-16-le"),
        '{"done": true}'.encode("utf-32"),
        b'\xef\xbb\xbf{"done": true}',
        b'{"output": NaN}',
        b'{"output": [' + b"[]," * 1_000_000 + b"[]]}",
        b'{"output": {' + b'"a":0,' * 1_000_000 + b'"a":0}}',
    ],
)
def test_what_is_no_report_of_a_worker_is_not_even_read(line: bytes) -> None:
    tracemalloc.start()
    try:
        assert parse(line) == {}
        assert tracemalloc.get_traced_memory()[1] < 2 * len(line) + 10_000
    finally:
        tracemalloc.stop()


def test_half_a_character_becomes_a_question_mark() -> None:
    assert parse(rb'{"output": "\ud800 \u00e9 \ud83d\ude00"}') == {"output": "? é \N{GRINNING FACE}"}


def test_outputs_take_only_the_memory_of_what_is_kept() -> None:
    outputs = Outputs(LIMITS, LIMITS.all_figure_bytes)
    tracemalloc.start()
    try:
        for kind in ("stream", "display_data", "error", "nothing"):
            for number in range(2_000):
                outputs.add(
                    {"output_type": kind, "name": "stdout", "text": "x" * 50_000, "data": {"more": [number] * 1_000}}
                )
                outputs.add(
                    {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["x" * 9_000 for _ in "_" * 99]}
                )
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_nothing_of_one_job_is_seen_by_the_next(box: Box) -> None:
    mark = "import os, torch\nsecret = torch.secret = 1\nos.environ['SECRET'] = '1'\nopen('secret', 'w').write('1')"
    run(box, mark)
    look = (
        "import os, torch\nprint('secret' in dir(), hasattr(torch, 'secret'), 'SECRET' in os.environ, os.listdir('.'))"
    )
    (result,) = run(box, look)
    assert text(result) == "False False False []\n"


def test_the_process_has_nothing_of_ours(box: Box) -> None:
    home = "os.environ['HOME'] == os.getcwd() == tempfile.gettempdir()"
    look = f"import os, tempfile\nprint(sorted(os.environ), {home}, os.listdir('.'))"
    (result,) = run(box, look)
    assert "NBGRADER" not in text(result) and "HOME" in text(result)
    assert text(result).endswith("True []\n")


def test_large_files_are_refused(box: Box) -> None:
    (result,) = run(box, f"open('big', 'wb').write(bytes({LIMITS.file_bytes + 100_000}))")
    assert result.status == "error" and result.error is not None and result.error["type"] == "OSError"


def test_processes_left_in_the_background_are_ended(box: Box) -> None:
    mark = f"60.{time.monotonic_ns()}"  # seconds, and what we know the process by
    leave = f"import subprocess\nsubprocess.Popen(['sleep', '{mark}'])\nprint('left')"
    (result,) = run(box, leave)
    assert text(result) == "left\n"
    assert _soon(lambda: not any(mark in line for line in _command_lines()))


def test_a_background_process_does_not_hide_a_crash(box: Box) -> None:
    started = time.monotonic()
    bad, _, check = run(box, "import os, time\nif os.fork() == 0: time.sleep(60)\nos._exit(1)", RELU, CHECK)
    assert bad.status == "crashed" and right(check)
    assert time.monotonic() - started < 30


def _command_lines() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (process / "cmdline").read_bytes().decode()


def _gone(pid: int) -> bool:
    """Whether a process has ended, or is a zombie that nobody has asked after yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _soon(condition: Callable[[], bool]) -> bool:
    """Whether something comes true, at the latest in two seconds."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_the_time_of_the_whole_submission_is_bounded(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "limits", Limits(cell_seconds=1, total_seconds=1.5))
    results = run(box, "print('kept')", *["while True: pass"] * 4, RELU, CHECK)
    assert [one.status for one in results] == ["ok", "timeout", "timeout", *["not run"] * 4]
    assert sum(one.seconds for one in results) < 2
    assert text(results[0]) == "kept\n"


def test_steps_of_a_group_come_to_no_end_together(box: Box) -> None:
    stuck, other = "check('a', {'b': lambda: loop()})", "check('a', {'c': lambda: 1})"
    steps = (
        Step("0", "code", "def loop():\n    while True: pass"),
        Step("1", "check", stuck, group="a"),
        Step("2", "check", other, hidden=True, group="a"),
        Step("3", "check", other, hidden=True, group="b"),
    )
    results = box.run(Job(steps))
    assert [one.status for one in results.values()] == ["ok", "timeout", "not run", "ok"]


def test_a_check_may_be_made_where_the_cells_run(box: Box) -> None:
    """It sees the process of the cells, and sets nothing for the cells after it; a copy is another process."""
    settings = "print(random.random(), torch.rand(1), torch.get_default_dtype())"
    cells = "import os, random, torch\nrandom.seed(1), torch.manual_seed(1), torch.set_default_dtype(torch.float64)"
    look = "check('a', {'b': lambda: (os.getpid() == here, random.random(), str(torch.get_default_dtype()))})"
    found = {}
    for inline in (False, True):
        checks = (Step("check", "check", look, group="one", inline=inline),)
        steps = (Step("cells", "code", f"{cells}\nhere = os.getpid()"), *checks, Step("after", "code", settings))
        found[inline] = box.run(Job(steps))
    there, apart = (found[inline]["check"].checks["a"]["b"]["value"]["items"] for inline in (True, False))
    assert (there[0]["data"], apart[0]["data"]) == (True, False)
    assert there[1:] == apart[1:]
    assert text(found[True]["after"]) == text(found[False]["after"])


def test_an_inline_check_that_comes_to_no_end_is_left_out(box: Box) -> None:
    steps = (
        Step("0", "code", "def loop():\n    while True: pass"),
        Step("1", "check", "check('a', {'b': lambda: loop()})", group="a", inline=True),
        Step("2", "check", "check('a', {'c': lambda: 1})", group="b", inline=True),
    )
    results = box.run(Job(steps))
    assert [one.status for one in results.values()] == ["ok", "timeout", "ok"]


def test_a_new_process_for_each_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    litter = "import os\nopen('kept', 'w').close()\nos.makedirs('a/b')\nos.chmod('a', 0)\nprint(os.getpid())"
    with Box(LIMITS, once=True) as box:
        first, bad, _, check = run(box, litter, "import os; os._exit(1)", RELU, CHECK)
    assert bad.status == "crashed" and right(check)
    assert _soon(lambda: _gone(int(text(first))))
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_died_is_replaced(box: Box) -> None:
    assert isinstance(box._host, Forks)
    os.kill(box._host._worker, signal.SIGKILL)
    with pytest.raises(BoxError, match="is gone"):
        run(box, RELU)
    assert right(run(box, RELU, CHECK)[1])


def test_a_worker_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(BoxError, match="did not start"), Box():
        pass


def test_a_worker_that_takes_too_long_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is named as that, and not the last thing that happened to be said."""
    monkeypatch.setattr("trainloop.sandbox.hosts.START_SECONDS", 0.01)
    said = "has not answered for 0.01 seconds: the computer is busy .* Run the command again"
    with pytest.raises(BoxError, match=said), Box():
        pass


def test_faults_of_the_caller(box: Box) -> None:
    with pytest.raises(BoxError, match="with Box"):
        Box().run(job(RELU))
    with pytest.raises(ValueError, match="same id"):
        box.run(Job((Step("a", "code", ""), Step("a", "code", ""))))


def test_no_steps_no_results(box: Box) -> None:
    assert box.run(Job(())) == {}
