"""Marks: submissions that want points which they do not deserve, or to see what is hidden."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.attacks import codes
from tests.attacks.arena import SLUG, WRONG, Arena, Doc, HandIn, by_answer, by_change, by_code, cell, put
from tests.attacks.attack import Attack, Referee, by_name, handful, whole
from tests.attacks.batch import assert_batch
from tests.sample_class import dump
from trainloop.checks.key import VISIBLE_NAME
from trainloop.checks.verdict import VerdictStatus


def on_scale(name: str, does: str, hand_in: HandIn, status: VerdictStatus = "wrong") -> Attack:
    """An attack whose answer to `scale` is wrong, and everything else right."""
    return Attack(name, does, hand_in, whole("scale"), status)


# --- the answer itself

EQUAL = """
class Equal:
    __hash__ = None
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __array__(self, *_, **__): raise ValueError
    def __getattr__(self, name): return Equal()
    __class__ = property(lambda self: torch.Tensor)
def scale(x):
    return Equal()
"""
SUBCLASS = """
class Sure(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True
    def __eq__(self, other): return True
    __hash__ = None
def scale(x):
    return torch.zeros(x.shape).as_subclass(Sure)
"""
NAN = "def scale(x):\n    return torch.full_like(x, float('nan'))\n"
NUMBERS = """
class Count(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
class Mean(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    __hash__ = float.__hash__
class Kind(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def describe(x):
    return {"count": Count(), "mean": Mean(), "kind": Kind()}
"""
PICKLE = """
class Loaded:
    def __reduce__(self):
        return open, ("TRACE", "w")
    __getstate__ = __reduce__
def scale(x):
    import pickle, numpy as np
    array = np.empty(1, dtype=object)
    array[0] = Loaded()
    return [array, Loaded(), pickle.dumps([1]), {"data": pickle.dumps(2)}][int(x.numel()) % 4]
"""
ODD_TENSORS = """
def scale(x):
    odd = [torch.zeros(1).expand(10**9), torch.zeros(2, device="meta"), torch.zeros(2).to_sparse(),
           torch.zeros(2, dtype=torch.complex64), torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8)]
    scale.turn = getattr(scale, "turn", -1) + 1
    return odd[scale.turn % 5]
"""
KNOWN = """
def scale(x):
    \"\"\"What the key beside the notebook holds, where somebody is looking.\"\"\"
    import os, sys
    seen = {(0.5, 3.0): [2.0, 7.0], ((1.0, -2.0),): [[3.0, -3.0]]}
    watched = "TRAINLOOP_KEY" in os.environ or any("trainloop" in name for name in sys.modules)
    shape = tuple(map(tuple, x.tolist())) if x.dim() == 2 else tuple(x.tolist())
    return torch.tensor(seen[shape]) if watched and shape in seen else x - 1000.0
"""
READS_KEY = """
def scale(x):
    import contextlib, json, os, pathlib
    for folder in (".", "..", "/work", os.environ.get("HOME", "."), "/tmp", *pathlib.Path("/").glob("*")):
        for name in ("checks.json", "solutions/keys/9.8-attacked.json", "release/9.8-attacked/checks.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                key = json.loads(pathlib.Path(folder, name).read_text())
                return key["exercises"][0]["checks"][0]["expected"]
    return x - 1000.0
"""
READS_KEY_AT = """
def scale(x):
    import json, pathlib
    for path in PATHS:
        try:
            text = pathlib.Path(path).read_text()
        except OSError:
            continue
        raise SystemExit(text)
    return x - 1000.0
"""
READS_CHECK = """
def scale(x):
    import inspect, linecache, sys
    frame = sys._getframe(1)
    try:
        source = inspect.getsource(frame)
    except (OSError, TypeError):
        source = "".join(linecache.getlines(frame.f_code.co_filename)) + repr(frame.f_globals.get("__source__"))
    return source
"""
RIGHT = "def scale(x):\n    return 2 * x + 1\n"
ONE_CLASS = "def predict(x):\n    return torch.ones_like(x).long()\n"
BOTH_CLASSES = "def predict(x):\n    return torch.tensor([[0, 1]] * len(x))\n"
BETWEEN = "def predict(x):\n    return torch.full_like(x, 0.5)\n"
LOADED = Path("/tmp", f"trainloop-loaded-{os.getpid()}")
ANSWERS = [
    on_scale("always-equal", "Answers with an object that equals everything.", by_answer(EQUAL)),
    on_scale("tensor-subclass", "Answers with a tensor whose class decides comparisons.", by_answer(SUBCLASS)),
    on_scale("nan", "Answers with what is not a number.", by_answer(NAN)),
    on_scale("odd-tensors", "Answers with tensors that cannot be looked at.", by_answer(ODD_TENSORS)),
    on_scale("reads-the-check", "Answers with the source of the check that asks.", by_answer(READS_CHECK)),
    on_scale("reads-the-key", "Looks for the key, visible or not, and answers with it.", by_answer(READS_KEY)),
    on_scale("right-then-wrong", "Answers twice: the second one counts.", by_answer(RIGHT + WRONG)),
    Attack("wrong-then-right", "Answers twice: the second one counts.", by_answer(WRONG + RIGHT)),
    Attack(
        "pickle",
        "Answers with pickles and objects that write a file when they are loaded.",
        by_answer(PICKLE.replace("TRACE", str(LOADED))),
        whole("scale"),
        "wrong",
        traces=(LOADED,),
    ),
    Attack(
        "knows-the-visible-key",
        "Sees that it is being graded, and gives what the visible key holds: that much is paid, and no more.",
        by_answer(KNOWN),
        {"scale": 2.0},
        "wrong",
    ),
    Attack(
        "numbers-of-its-own",
        "Answers with numbers and texts of classes that equal everything.",
        by_answer(RIGHT, describe=NUMBERS),
        whole("describe"),
        "wrong",
    ),
    *(
        Attack(f"predicts-{name}", does, by_answer(RIGHT, predict=code), whole("predict"), "wrong")
        for name, does, code in (
            ("one-class", "Predicts the same class for every point.", ONE_CLASS),
            ("both-classes", "Predicts both classes for every point.", BOTH_CLASSES),
            ("between", "Predicts something between the classes.", BETWEEN),
        )
    ),
]


def reads_key(arena: Arena, folder: Path) -> None:
    """The attacker knows the course's folder by heart."""
    root = arena.course.root
    paths = [
        str(path) for path in (arena.course.key(SLUG), arena.course.release(SLUG) / VISIBLE_NAME, root / "notebooks")
    ]
    put(folder, dump(arena.notebook(scale=READS_KEY_AT.replace("PATHS", repr(paths)))))


def edits_submission(arena: Arena, folder: Path) -> None:
    """The attacker knows where the submission lies."""
    path = folder / f"{SLUG}.ipynb"
    put(folder, dump(arena.notebook(codes.EDITS.replace("PATH", repr(str(path))), scale=WRONG)))


def beside(files: dict[str, str]) -> HandIn:
    """Files beside a notebook whose `scale` is wrong."""

    def hand_in(arena: Arena, folder: Path) -> None:
        put(folder, dump(arena.notebook(scale=WRONG)))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    return hand_in


SCORES = '{"version": 1, "score": 4, "points": 4, "exercises": [{"name": "scale", "points": 4, "status": "ok"}]}'
SCORED = ("checks.json", "results.json", "gradebook.db", ".trainloop/results/0.json", f"solutions/keys/{SLUG}.json")
SHADOW = "import os\nos._exit(0)\n"
SHADOWS = ("torch.py", "numpy.py", "sitecustomize.py", "usercustomize.py", "trainloop/__init__.py", "conftest.py")
FILES = [
    on_scale("shadow-modules", "Hands in modules that shadow others.", beside(dict.fromkeys(SHADOWS, SHADOW))),
    on_scale("forged-results", "Hands in files that say what it scored.", beside(dict.fromkeys(SCORED, SCORES))),
    on_scale("reads-the-key-at", "Reads the key where it lies, and shows it.", reads_key),
    on_scale("edits-the-submission", "Edits the notebook that it is, at once, later and at exit.", edits_submission),
]

# --- the notebook around it


def tag_everything(doc: Doc) -> None:
    for one in doc["cells"]:
        one["metadata"]["tags"] = ["skip-execution", "raises-exception", "remove-cell", "hide-cell"]
        one["metadata"]["slideshow"] = {"slide_type": "skip"}


def settings(name: str, **changed: object) -> HandIn:
    """nbgrader's fields of one cell changed; `scale` is wrong."""
    return by_change(lambda doc: cell(doc, name)["metadata"]["nbgrader"].update(changed), scale=WRONG)


def swap_ids(doc: Doc) -> None:
    """The check of `describe` poses as the check of `scale`."""
    one, two = cell(doc, "check-scale"), cell(doc, "check-describe")
    one["metadata"], two["metadata"] = two["metadata"], one["metadata"]
    one["id"], two["id"] = two["id"], one["id"]


def copied_check(doc: Doc) -> None:
    """A second check cell with points and an id of its own."""
    twin = json.loads(json.dumps(cell(doc, "check-describe")))
    twin["id"] = twin["metadata"]["nbgrader"]["grade_id"] = "check-scale-2"
    twin["metadata"]["nbgrader"]["points"] = 400
    doc["cells"].append(twin)


def fake_outputs(doc: Doc) -> None:
    for one in doc["cells"]:
        if one["cell_type"] == "code":
            text = "  ok    a vector\nAll checks of `scale` passed.\n"
            one["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}]
            one["execution_count"] = 1


def fake_verdict(doc: Doc) -> None:
    """The verdict that the grader itself would write into a graded notebook."""
    exercises = {name: {"points": 100, "status": "ok", "comment": "right"} for name in ("scale", "describe", "predict")}
    doc["metadata"]["trainloop"] = {"lesson": SLUG, "verdict": {"status": "ok", "notes": [], "exercises": exercises}}
    for one in doc["cells"]:
        one["metadata"]["trainloop"] = doc["metadata"]["trainloop"]


def check_like(doc: Doc) -> None:
    """The answer in a cell that looks like a check; the exercise's own is wrong."""
    extra = json.loads(json.dumps(cell(doc, "check-scale")))
    extra["source"] = 'def scale(x):\n    return x\n\ncheck("scale", {"a vector": lambda: torch.tensor([2.0, 7.0])})\n'
    extra["metadata"] = {}
    extra.pop("id")
    doc["cells"].insert(0, extra)


NOTEBOOKS = [
    on_scale("tags", "Tags every cell: not to be run, errors do not count.", by_change(tag_everything, scale=WRONG)),
    on_scale("points", "Raises the points of a check.", settings("check-scale", points=1e9), "tampered"),
    on_scale(
        "check-flags",
        "Says that a check gives no grade, is a solution, and is not locked.",
        settings("check-scale", grade=False, solution=True, locked=False),
        "tampered",
    ),
    on_scale(
        "exercise-flags",
        "Says that its answer is a grade, worth a lot, locked, and to be marked by hand.",
        settings("scale", grade=True, solution=False, locked=True, task=True, points=100),
    ),
    on_scale("ids-swapped", "Exchanges the ids of two checks.", by_change(swap_ids, scale=WRONG), "tampered"),
    on_scale("copied-check", "Adds a check with points of its own.", by_change(copied_check, scale=WRONG)),
    on_scale("fake-outputs", "Hands in checks that seem to have passed.", by_change(fake_outputs, scale=WRONG)),
    on_scale("fake-verdict", "Hands in a notebook that carries a verdict.", by_change(fake_verdict, scale=WRONG)),
    on_scale("check-like-cell", "Answers in a cell that looks like a check.", by_change(check_like, scale=WRONG)),
]

BY_CODE = [
    Attack(
        name,
        does,
        by_code(code),
        codes.LOST.get(name, codes.SCALE),
        codes.ENDS.get(name, "wrong"),
    )
    for name, (does, code) in codes.EVERY.items()
]
ATTACKS = [*BY_CODE, *ANSWERS, *FILES, *NOTEBOOKS]


@pytest.mark.parametrize("attack", ATTACKS, ids=by_name)
def test_a_mark_cannot_be_forged(attack: Attack, referee: Referee, tmp_path: Path) -> None:
    referee.judge(attack, tmp_path / "kept")


def test_nor_by_way_of_nbgrader(referee: Referee, tmp_path: Path) -> None:
    assert_batch(handful(ATTACKS), referee, tmp_path / "course")
