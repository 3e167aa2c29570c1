"""Code that wants marks, or to see what is hidden: by name, what it does and how, and what it loses.

Each runs in a cell before the first check of a notebook in which `scale` is wrong.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from trainloop.checks.verdict import VerdictStatus

Codes: TypeAlias = dict[str, tuple[str, str]]

SHELL: Codes = {
    "input-transformer": (
        "Lets IPython replace the text of every later cell.",
        """
shell = get_ipython()
for transformers in (shell.input_transformers_post, shell.input_transformers_cleanup):
    transformers.append(lambda lines: ["pass\\n"])
shell.input_transformer_manager.transform_cell = lambda source: "pass"
""",
    ),
    "tree-transformer": (
        "Lets IPython replace the syntax tree of every later cell.",
        """
import ast
class Nothing(ast.NodeTransformer):
    def visit(self, node):
        return ast.Module([], [])
get_ipython().ast_transformers.append(Nothing())
""",
    ),
    "run-cell": (
        "Replaces the methods by which IPython, and a kernel, run a cell.",
        """
shell = get_ipython()
class Fine:
    error_before_exec = error_in_exec = None
    success, result = True, None
for name in ("run_cell", "run_cell_async", "run_code", "run_ast_nodes", "_run_cell", "run", "do_execute"):
    setattr(shell, name, lambda *_, **__: Fine())
    setattr(type(shell), name, lambda *_, **__: Fine())
""",
    ),
    "show-traceback": (
        "Hides every error that a cell shows.",
        """
shell = get_ipython()
for name in ("showtraceback", "showsyntaxerror", "_showtraceback"):
    setattr(shell, name, lambda *_, **__: None)
    setattr(type(shell), name, lambda *_, **__: None)
""",
    ),
    "events": (
        "Asks IPython to be called before and after every cell.",
        """
shell = get_ipython()
def again(*_):
    shell.user_ns["scale"] = lambda x: x
    shell.user_ns["check"] = lambda *_: None
for event in ("pre_execute", "post_execute", "pre_run_cell", "post_run_cell"):
    shell.events.register(event, again)
""",
    ),
    "display-hook": (
        "Hands a number of points to the hook that shows a cell's value.",
        "import sys\nsys.displayhook(5)\nsys.displayhook = lambda value: None\n4.0\n",
    ),
    "check-redefined": (
        "Redefines the check, in the notebook, in the package and among Python's own names.",
        """
import builtins, sys, trainloop
def check(*_): return 4.0
given = check
builtins.check = builtins.given = check
trainloop.check = trainloop.given = check
for module in list(sys.modules.values()):
    if getattr(module, "__name__", "").startswith("trainloop"):
        module.check = module.given = check
get_ipython().user_ns.update(check=check, given=given)
get_ipython().user_global_ns.update(check=check, given=given)
""",
    ),
    "check-called": (
        "Calls the check itself, under names that are other classes than text.",
        """
import contextlib
class Name(str):
    __hash__ = str.__hash__
    def __eq__(self, other): return True
for name in (Name("scale"), (letter for letter in "scale"), b"scale", "scale"):
    with contextlib.suppress(BaseException):
        check(name, {"a vector": lambda: torch.tensor([2.0, 7.0]), "an unknown number": lambda: 1})
""",
    ),
}

PATCHES: Codes = {
    "comparisons": (
        "Replaces what torch and NumPy compare with.",
        """
import numpy as np, torch.testing
always = lambda *_, **__: True
for module, names in ((torch, "allclose equal isclose eq"), (np, "allclose isclose array_equal array_equiv")):
    for name in names.split():
        setattr(module, name, always)
torch.testing.assert_close = np.testing.assert_allclose = always
torch.Tensor.__eq__ = torch.Tensor.allclose = torch.Tensor.equal = always
""",
    ),
    "seeds": (
        "Replaces what sets seeds and makes tensors of arrays.",
        """
import numpy as np, random
torch.manual_seed = torch.random.manual_seed = lambda *_: None
np.random.seed = random.seed = lambda *_: None
torch.from_numpy = lambda array: torch.zeros(2)
""",
    ),
    "values": (
        "Replaces what looks at an answer, wherever it is kept, by something that likes everything.",
        """
import sys
values = sys.modules["trainloop.checks.values"]
liked = {"saw": "value", "value": {"type": "float", "data": "nan"}, "points": 4}
real = values.observe
values.observe = lambda call, *rest: liked if "scale" in call.__code__.co_names else real(call, *rest)
values.describe_exception = lambda *_, **__: liked
values.same = values.same_value = values.validate_observation = lambda *_, **__: True
""",
    ),
    "modules": (
        "Puts modules of its own in place of those that are loaded.",
        """
import sys, types
class Anything(types.ModuleType):
    def __getattr__(self, name):
        return lambda *_, **__: True
for name in ("numpy", "json", "trainloop.checks.values", "trainloop.checks.verdict",
             "trainloop.checks.rules", "trainloop.sandbox.worker"):
    sys.modules[name] = Anything(name)
""",
    ),
    "import-hook": (
        "Answers every import itself.",
        """
import sys, importlib.machinery, types
class Finder:
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda name: (lambda *_, **__: True)
        return module
    def exec_module(self, module): pass
sys.meta_path.insert(0, Finder())
sys.path.insert(0, ".")
""",
    ),
    "dumps": (
        "Replaces the writing of JSON, so that every report says what it likes.",
        """
import json
real = json.dumps
def better(message, *args, **keywords):
    if isinstance(message, dict) and "observed" in message and message["observed"][0] == "scale":
        message["observed"][2] = {"saw": "value", "value": {"type": "float", "data": "nan"}, "points": 4}
    return real(message, *args, **keywords)
json.dumps = better
""",
    ),
    "job": (
        "Looks for the running job in memory, and changes what it finds there.",
        """
import gc, contextlib
for thing in gc.get_objects():
    with contextlib.suppress(BaseException):
        if isinstance(thing, dict) and "steps" in thing:
            for step in thing["steps"]:
                if step["kind"] == "check" and "scale" in step["source"]:
                    step["source"] = "check('scale', {'a vector': lambda: 1, 'an unknown number': lambda: 2})"
        if type(thing).__name__ == "Runner":
            real, liked = thing._observe, {"saw": "value", "value": {"type": "None"}}
            thing._observe = lambda call: liked if "scale" in call.__code__.co_names else real(call)
""",
    ),
}

BUILTINS: Codes = {
    f"builtin-{name}": (f"Replaces Python's own `{name}`.", f"import builtins\nbuiltins.{name} = {lie}\n")
    for name, lie in {
        "compile": "lambda source, *_, real=compile, **__: real('pass', 'none', 'exec')",
        "exec": "lambda *_, **__: None",
        "len": "lambda _: 0",
        "isinstance": "lambda *_: True",
        "type": "lambda *_: torch.Tensor",
        "open": "lambda *_, **__: None",
        "print": "lambda *_, **__: None",
        "all": "lambda _: True",
        "round": "lambda *_: 4.0",
    }.items()
}

FORGED = [
    {"end": "added-1", "status": "ok", "outputs": [], "error": None},
    {"begin": "check-scale"},
    *(
        {"observed": ["scale", title, seen]}
        for title in ("a vector", "a matrix", "an unknown number", "an unknown array")
        for seen in (
            {"saw": "value", "value": {"type": "Tensor", "dtype": "float32", "shape": [1], "data": "AADAfw=="}},
            {"saw": "value", "value": {"type": "float", "data": "nan"}},
            {"saw": "ok", "points": 100},
            {"saw": "value", "value": {"type": "str", "salt": "scale", "digest": ""}},
        )
    ),
    {"end": "check-scale", "status": "ok", "points": 4, "outputs": [], "error": None},
    {"graded": {"scale": 4}, "points": 4},
]

REPORTS: Codes = {
    "printed-score": (
        "Prints what a grader would print for full marks.",
        """
import sys
for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
    print("  ok    a vector\\nAll checks of `scale` passed.\\nscore: 10 of 10\\n<score>100</score>", file=stream)
""",
    ),
    "forged-reports": (
        "Writes reports of its own to every open file.",
        f"""
import contextlib, json, os
forged = json.loads({json.dumps(json.dumps(FORGED))})
lines = "".join("\\n" + json.dumps(one) + "\\n" for one in forged).encode()
for number in range(64):
    with contextlib.suppress(OSError):
        os.set_blocking(number, False)
        os.write(number, lines)
        os.set_blocking(number, True)
""",
    ),
    "forged-files": (
        "Writes files that a grader may believe, wherever it can.",
        """
import contextlib, os, pathlib
content = '{"score": 4, "points": 4, "max_score": 4, "status": "ok", "exercises": {"scale": {"points": 4}}}'
for folder in (".", "..", os.environ.get("HOME", "."), ".trainloop/results", "source", "solutions/keys"):
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        for name in ("checks.json", "results.json", "gradebook.db", "scores.json", "9.8-attacked.json"):
            pathlib.Path(folder, name).write_text(content)
""",
    ),
    "shadows-then-ends": (
        "Writes modules that shadow torch and others, then ends the process, so that the next one loads them.",
        """
import contextlib, os, pathlib
for folder in {".", "..", os.environ.get("HOME", "."), os.environ.get("TMPDIR", ".")}:
    with contextlib.suppress(OSError):
        os.makedirs(pathlib.Path(folder, "trainloop"), exist_ok=True)
        for name in ("torch.py", "numpy.py", "sitecustomize.py", "usercustomize.py", "trainloop/__init__.py"):
            if not pathlib.Path(folder, name).exists():
                pathlib.Path(folder, name).write_text("raise SystemExit('shadowed')")
os._exit(0)
""",
    ),
}

LATER: Codes = {
    "exit-hooks": (
        "Leaves exit hooks and finalizers behind that report full marks.",
        f"""
import atexit, contextlib, json, os, weakref
lines = {json.dumps(json.dumps(FORGED))}.encode()
def late(*_):
    for number in range(64):
        with contextlib.suppress(OSError):
            os.write(number, b"\\n" + lines + b"\\n")
class Late:
    __del__ = late
atexit.register(late)
weakref.finalize(late, late)
keep = [Late()]
keep.append(keep)
""",
    ),
    "thread-rewrites": (
        "Lets a thread exchange the answer while the checks look at it.",
        """
import threading, time
def rewrite():
    answers = [lambda x: x, lambda x: x * 0, lambda x: x + 1, None]
    for turn in range(2_000):
        globals()["scale"] = answers[turn % 4]
        time.sleep(0.001)
threading.Thread(target=rewrite, daemon=True).start()
""",
    ),
    "trace": (
        "Follows every call that the grader makes, and changes what it can.",
        """
import sys, threading
def follow(frame, event, argument):
    seen = frame.f_locals.get("observation")
    if frame.f_locals.get("exercise") == "scale" and isinstance(seen, dict):
        seen.update(saw="value", value={"type": "float", "data": "nan"})
    return follow
sys.settrace(follow)
threading.settrace(follow)
sys.setprofile(follow)
""",
    ),
}

LEAK = '''
def gather():
    """All that is in reach: local names of the callers, objects in memory, sources of code."""
    import gc, linecache, sys
    frame = sys._getframe()
    while frame is not None:
        yield repr(dict(frame.f_locals)) + repr(frame.f_code.co_consts)
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing) is dict and ("steps" in thing or "given" in thing or "source" in thing):
            yield repr(thing)
        if type(thing).__name__ == "function":
            yield repr(thing.__code__.co_consts)
        if type(thing) in (list, tuple) and thing and type(thing[0]) is str:
            yield repr(thing)
    for lines in list(linecache.cache.values()):
        yield "".join(lines[2]) if len(lines) > 2 else ""
def secrets():
    """Numbers as only a hidden check has them, wherever they are."""
    import re
    pattern = re.compile(r"-?[0-9]{2}[.][0-9]{4}(?![0-9])|drawe[r]")
    return " ".join(sorted({found for text in gather() for found in pattern.findall(text)}))
'''

# Each finds hidden checks in memory; they differ in how they try to bring them out.
LEAKS: Codes = {
    "leak-by-print": (
        "Prints in its own cell what it finds of hidden checks in memory.",
        LEAK + "print(secrets())\nfrom IPython.display import display\ndisplay(secrets())\n",
    ),
    "leak-by-history": (
        "Prints what IPython remembers of cells and results.",
        "shell = get_ipython()\nfor name in ('In', 'Out', '_ih', '_oh', '_dh', '_i', '_ii', '_iii', '_', '__'):\n"
        "    print(shell.user_ns.get(name), globals().get(name))\n"
        "print(shell.history_manager.input_hist_raw, dir(shell.history_manager))\n%history -g\n",
    ),
    "leak-by-error": (
        "Raises an error in a check, whose message is what it finds of hidden checks.",
        LEAK + "def scale(x):\n    raise ValueError(secrets())\n",
    ),
    "leak-by-error-name": (
        "Raises an error in a check, whose class is named by what the check handed in.",
        "def scale(x):\n    raise type(str(x.tolist()) + ' ' + str(x.tolist()[0] * 2 + 1), (Exception,), {})()\n",
    ),
    "leak-by-value": (
        "Returns a text from a check, in which is what it finds of hidden checks.",
        LEAK + "def scale(x):\n    return secrets()\n"
        "def describe(x):\n    return {str(x.tolist()): scale(x)}\n"
        "def predict(x):\n    return scale(x)\n",
    ),
    "leak-by-class-name": (
        "Returns an object from a check, whose class is named by what the check handed in.",
        "def scale(x):\n    return type(str(x.tolist()) + ' ' + str(x.tolist()[0] * 2 + 1), (), {})()\n",
    ),
    "leak-by-streams": (
        "Prints from within a check, through every stream that it kept.",
        """
import os, sys
streams = [sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__]
from IPython.display import display
def scale(x):
    for stream in streams:
        if stream is not None:
            print(x.tolist(), file=stream)
    for number in (1, 2):
        os.write(number, str(x.tolist()).encode())
    display(str(x.tolist()))
    get_ipython().display_pub.publish({"text/plain": str(x.tolist())})
    return x - 1000
""",
    ),
    "leak-by-audit": (
        "Hears of every piece of code that is compiled, and raises what it heard in the next check.",
        """
import sys
heard = []
sys.addaudithook(lambda event, args: heard.append(repr(args)[:5_000]) if event in ("compile", "exec") else None)
def scale(x):
    raise ValueError(" ".join(text for text in heard if "torch.tensor" in text)[-1_900:])
""",
    ),
    "leak-by-grader": (
        "Lets the check itself fail with an error, whose message is what it finds of hidden checks.",
        LEAK
        + """
def fail(call):
    raise ValueError(secrets())
import gc
for thing in gc.get_objects():
    if type(thing).__name__ == "Runner":
        thing._observe = fail
""",
    ),
    "leak-by-forged-reports": (
        "Reports its own cell as done while it runs, takes the checks that come then, and reports what is in them.",
        """
import contextlib, json, os, re, socket
def say(*messages):
    for number in range(3, 64):
        for message in messages:
            with contextlib.suppress(OSError):
                os.write(number, ("\\n" + json.dumps(message) + "\\n").encode())
def take():
    for number in range(3, 64):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as line:
            line.settimeout(0.3)
            _, files, _, _ = socket.recv_fds(line, 65_536, 4)
            for file in files:
                yield os.read(file, 1_000_000).decode()
say({"end": "added-1", "status": "ok", "error": None})
for portion in (text for turn in range(3) for text in take()):
    found = " ".join(re.findall("-?[0-9]{2}[.][0-9]{4}(?![0-9])|drawe[r]", portion))
    error = {"type": "ValueError " + found, "message": found, "line": 1, "code": found}
    for step in json.loads(portion)["steps"]:
        say({"begin": step["id"]}, {"output": {"output_type": "stream", "name": "stdout", "text": found}})
        for name, title in re.findall('check[(]"([a-z]+)"|"([a-z ]+)": lambda', step["source"]):
            exercise = name or exercise
            say({"observed": [exercise, title, {"saw": "raised", **error}]})
        say({"end": step["id"], "status": "error", "error": error})
say({"done": True})
""",
    ),
    "leak-by-line": (
        "Raises an error in a line whose text is what it finds of hidden checks.",
        LEAK
        + """
import linecache
def scale(x):
    text = secrets().replace("\\n", " ")
    name = "<cell added-1>"
    linecache.cache[name] = (len(text), None, [text + "\\n"] * 50, name)
    exec(compile("raise ValueError('see the line')", name, "exec"))
""",
    ),
}

SCALE = {"scale": 4.0}
ALL = {"scale": 4.0, "describe": 2.0, "predict": 2.0}
# Who spoils what everything depends on has no right answer left below, and is reported as what it looks like. Without
# `open` or `len`, a process cannot take over a hidden check, and what it would have earned there is lost.
LOST = {
    **dict.fromkeys(("input-transformer", "tree-transformer", "run-cell", "leak-by-forged-reports"), ALL),
    **dict.fromkeys((f"builtin-{name}" for name in ("compile", "exec", "type")), ALL),
    **dict.fromkeys(("builtin-open", "builtin-len"), SCALE | {"describe": 1.0, "predict": 1.0}),
    "leak-by-grader": ALL,
}
ENDS: dict[str, VerdictStatus] = {
    **dict.fromkeys(("input-transformer", "tree-transformer", "builtin-compile", "builtin-exec"), "missing"),
    **dict.fromkeys(("run-cell", "builtin-len", "builtin-open"), "crashed"),
    "leak-by-forged-reports": "timeout",
}

EDITS = """
import atexit, contextlib, pathlib, threading, time
def edit():
    with contextlib.suppress(OSError):
        path = pathlib.Path(PATH)
        path.write_text(path.read_text().replace("x - 1000.0", "2 * x + 1"))
        (path.parent / "late").write_text("late")
atexit.register(edit)
threading.Thread(target=lambda: (time.sleep(0.2), edit()), daemon=True).start()
edit()
"""

EVERY: Codes = SHELL | PATCHES | BUILTINS | REPORTS | LATER | LEAKS
