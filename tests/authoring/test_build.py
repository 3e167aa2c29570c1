"""The build: what it makes, that it hides what must be hidden, and that it refuses a lesson that does not teach."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.conftest import ROOT
from tests.lessons import ANSWERS, TEXT, lesson, place_of, spoiled, spoiled_lesson
from trainloop.authoring import key_maker, notebooks
from trainloop.authoring.build import Built, build, differences, write
from trainloop.authoring.errors import LessonError
from trainloop.authoring.execute import execute
from trainloop.authoring.lesson import Lesson, read, without_markers
from trainloop.checks import values, worked
from trainloop.checks.key import Key
from trainloop.checks.verdict import judge
from trainloop.course import Course
from trainloop.sandbox.box import Box

RIGHT = "torch.where(x > 0, x, torch.zeros_like(x))"
ABS = "    return x.abs()\n"
HINTED = "def relu(x: torch.Tensor) -> torch.Tensor:\n"
SLUG = "9.9-tiny"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box() as opened:
        yield opened


@pytest.fixture(scope="module")
def real() -> Built:
    """A lesson of the course, as it is committed: that this is what the build makes is for `build --check` to say."""
    course = Course(ROOT)
    lesson = read(course.text(course.slug("2.1")))
    paths = [path for kind in ("source", "release", "solutions") for path in (ROOT / kind / lesson.slug).iterdir()]
    files = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in [*paths, course.key(lesson.slug)]}
    return Built(lesson, Key.load(course.key(lesson.slug)), files)


@pytest.fixture(scope="module")
def tiny(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(lesson(tmp_path_factory.mktemp("tiny")), box)


@pytest.fixture
def root(tiny: Built, tmp_path: Path) -> Path:
    """A course in which the tiny lesson is built."""
    assert sorted(write(tiny, tmp_path)) == sorted(tiny.files)
    return tmp_path


def notebook(built: Built, kind: str) -> NotebookNode:
    slug = built.lesson.slug
    return nbformat.reads(built.files[Path(kind, slug, f"{slug}.ipynb")], as_version=4)


def test_the_brief_layout_is_the_same_notebook(real: Built) -> None:
    """An empty cell, one without a line feed at its end, letters beyond ASCII: all as in nbgrader's layout."""
    for kind in ("source", "solutions"):
        plain = notebook(real, kind)
        plain.cells[0].source = ""
        plain.cells[1].source = "Größe ∂\n\n"
        long, brief = notebooks.dump(plain), notebooks.dump(plain, brief=True)
        assert nbformat.reads(brief, 4) == nbformat.reads(long, 4)
        assert brief.count("\n") < 0.75 * long.count("\n")


def released(built: Built) -> str:
    """All that students get, as text."""
    return "\n".join(
        [cell.source for cell in notebook(built, "release").cells]
        + [text for path, text in built.files.items() if path.parts[0] == "release"]
    )


# ------------------------------------------------------------------------------------------------------------ products


def test_the_same_text_gives_the_same_bytes(tiny: Built) -> None:
    with Box() as other:
        again = build(tiny.lesson, other)
    assert again.files == tiny.files


def test_what_is_made(tiny: Built, real: Built) -> None:
    for built in (tiny, real):
        slug = built.lesson.slug
        assert {str(path) for path in built.files} == {
            f"source/{slug}/{slug}.ipynb",
            f"source/{slug}/checks.json",
            f"source/{slug}/solutions.json",
            f"release/{slug}/{slug}.ipynb",
            f"release/{slug}/checks.json",
            f"release/{slug}/solutions.json",
            f"solutions/{slug}/{slug}.ipynb",
            f"solutions/keys/{slug}.json",
        }
        for kind in ("source", "release", "solutions"):
            made = notebook(built, kind)
            nbformat.validate(made)
            assert not any(cell.get("outputs") for cell in made.cells)


def test_source_and_release_correspond_cell_by_cell(tiny: Built, real: Built) -> None:
    for built in (tiny, real):
        source, release = notebook(built, "source").cells, notebook(built, "release").cells
        ids = [cell.id for cell in source]
        assert ids == [cell.id for cell in release]
        assert len(set(ids)) == len(ids)
        assert [cell.cell_type for cell in source] == [cell.cell_type for cell in release]
        for name in built.lesson.exercises:
            assert {name, f"check-{name}"} <= set(ids)


def test_nothing_hidden_is_released(tiny: Built, real: Built) -> None:
    for built in (tiny, real):
        text = released(built)
        answers = "\n".join(
            cell.source for cell in notebook(built, "release").cells if cell.id in built.lesson.exercises
        )
        for marker in ("### BEGIN", "### END"):
            assert marker not in text
        for exercise in built.lesson.exercises.values():
            hidden = [check for check in exercise.checks if check.hidden]
            assert hidden or exercise.options, "letters have nothing to hide but the key"
            for check in hidden:
                assert check.call not in text and json.dumps(check.call)[1:-1] not in text
            for mistake in exercise.mistakes:
                assert mistake.code not in text and json.dumps(mistake.code)[1:-1] not in text
            for alternative in exercise.alternatives:
                assert alternative.code not in text
            assert answers.count("raise NotImplementedError()") >= 1
            for line in notebooks._solution_lines(exercise):
                assert line not in answers


def test_worked_solutions_hold_the_answers_and_no_hidden_check(tiny: Built, real: Built) -> None:
    for built in (tiny, real):
        cells = notebook(built, "solutions").cells
        text = "\n".join(cell.source for cell in cells)
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        assert "### BEGIN" not in text and "NotImplementedError" not in code
        for exercise in built.lesson.exercises.values():
            assert without_markers(exercise.cell.source) in text
            assert all(mistake.sentence in text for mistake in exercise.mistakes)
            assert all(alternative.code in text for alternative in exercise.alternatives)
            assert not any(check.call in text for check in exercise.checks if check.hidden)


def test_the_key_of_the_tiny_lesson(tiny: Built) -> None:
    relu = tiny.key.exercises["relu"]
    assert [(check.points, check.hidden) for check in relu.checks] == [(1, False), (1, False), (0, True), (0, True)]
    assert relu.sentences[0] == "That is the absolute value."
    shows = [[mistake is not None for mistake in check.mistakes] for check in relu.checks]
    assert shows == [[False, False, True, True], [True] * 4] * 2
    assert judge(relu, {check.name: check.expected for check in relu.checks}).points == 2.0
    assert len(tiny.key.visible().exercises["relu"].checks) == 2


def test_stubs_are_those_of_nbgrader(tiny: Built, real: Built) -> None:
    """What the build proves about untouched stubs, it proves about what is released."""
    for built in (tiny, real):
        for cell in notebook(built, "release").cells:
            if cell.id in built.lesson.exercises:
                assert cell.source == key_maker._stub(built.lesson.exercises[cell.id].cell.source)


def test_check_cells_are_folded_under_a_line_and_no_error_stops_a_run(tiny: Built, real: Built) -> None:
    for built in (tiny, real):
        for kind in ("source", "release"):
            cells = notebook(built, kind).cells
            for above, cell in itertools.pairwise(cells):
                exercise = cell.id.removeprefix("check-")
                if cell.id in built.lesson.exercises or cell.id.startswith("check-"):
                    assert cell.metadata.tags == ["raises-exception"]
                if cell.id.startswith("check-"):
                    assert cell.metadata.jupyter.source_hidden
                    assert above.cell_type == "markdown" and f'`solution("{exercise}")`' in above.source


def test_worked_answers_travel_packed(tiny: Built) -> None:
    text = tiny.files[Path("release", SLUG, "solutions.json")]
    assert RIGHT not in text and "clamp" not in text
    relu = worked.unpacked(text)["relu"]
    assert RIGHT in relu.code and "###" not in relu.code
    assert [told for told, _ in relu.others] == ["With clamp.", "Half of the sum.", "As a product."]
    assert "-1.5" not in str(relu)


def test_proofs_are_for_the_run_of_the_instructor_alone(tiny: Built) -> None:
    with_proofs = notebooks.source_notebook(tiny.lesson, proofs=True)
    proofs = [cell for cell in with_proofs.cells if cell.id.startswith("proof-")]
    assert len(proofs) == 1 and len(with_proofs.cells) == len(notebook(tiny, "source").cells) + 1
    assert not any(cell.id.startswith("proof-") for cell in notebook(tiny, "source").cells)


def test_a_notebook_ends_in_the_lesson_after_it_and_how_long_that_takes(tmp_path: Path) -> None:
    """Every one that students get, without a word in its text: it follows from the texts that lie there."""
    for number, title in (("9.9", "A Tiny Lesson"), ("9.10", "A Tiny Sequel"), ("9.2", "An Earlier One")):
        path = tmp_path / f"{number}-tiny" / "lesson.md"
        path.parent.mkdir()
        path.write_text(TEXT.replace("# 9.9 A Tiny Lesson", f"# {number} {title}").replace("half an hour", "2 hours"))
        path.with_name("answers.md").write_text(ANSWERS)

    def last(number: str) -> str:
        cell = notebooks.source_notebook(read(tmp_path / f"{number}-tiny" / "lesson.md")).cells[-1]
        assert (cell.cell_type, cell.id) == ("markdown", "next-lesson")
        return str(cell.source)

    assert last("9.2").startswith("**Next:** [9.9 A Tiny Lesson](../9.9-tiny/9.9-tiny.ipynb), about 2 hours. ")
    assert last("9.9").startswith("**Next:** [9.10 A Tiny Sequel](../9.10-tiny/9.10-tiny.ipynb), about 2 hours. ")
    assert last("9.10") == notebooks.LAST


def test_the_last_line_is_in_all_three_notebooks(tiny: Built) -> None:
    assert {notebook(tiny, kind).cells[-1].source for kind in ("source", "release", "solutions")} == {notebooks.LAST}


# --------------------------------------------------------------------------------------------------------- differences


def test_nothing_differs_from_what_was_just_written(tiny: Built, root: Path) -> None:
    assert differences(tiny, root) == []
    assert write(tiny, root) == []


def test_changed_missing_and_stray_files(tiny: Built, root: Path) -> None:
    changed = Path("release", SLUG, f"{SLUG}.ipynb")
    missing = Path("source", SLUG, "checks.json")
    stray = Path("solutions", SLUG, "notes.txt")
    (root / changed).write_text((root / changed).read_text().replace("Write it.", "Write that."))
    (root / missing).unlink()
    (root / stray).write_text("mine")
    (root / "source" / SLUG / ".ipynb_checkpoints").mkdir()
    assert differences(tiny, root) == sorted([changed, missing, stray])


def perturbed(path: Path, by: float) -> str:
    """A key with every number that was computed multiplied by 1 + `by`."""

    def walk(node: object) -> object:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if isinstance(node, dict):
            return {name: walk(item) for name, item in node.items()}
        return node * (1 + by) if isinstance(node, float) else node

    key = json.loads(path.read_text())
    for exercise in key["exercises"].values():
        exercise["seen"] = walk(exercise["seen"])
    return json.dumps(key)


@pytest.mark.parametrize("part", ["solutions/keys/9.9-tiny.json", "release/9.9-tiny/checks.json"])
def test_a_key_that_differs_by_rounding_stays(tiny: Built, root: Path, part: str) -> None:
    path = root / part
    path.write_text(perturbed(path, 2e-7))
    before = path.read_bytes()
    assert before != tiny.files[Path(part)].encode()
    assert write(tiny, root) == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("part", ["solutions/keys/9.9-tiny.json", "release/9.9-tiny/checks.json"])
@pytest.mark.parametrize("damage", ["more", "sentence", "empty"])
def test_a_key_that_differs_by_more_is_written_anew(tiny: Built, root: Path, part: str, damage: str) -> None:
    path = root / part
    sentence = path.read_text().replace("absolute value", "modulus")
    path.write_text({"more": perturbed(path, 0.01), "sentence": sentence, "empty": ""}[damage])
    assert write(tiny, root) == [Path(part)]
    assert path.read_text() == tiny.files[Path(part)]


def test_hints_travel_with_the_release(tiny: Built) -> None:
    key = json.loads(tiny.files[Path("release", SLUG, "checks.json")])
    titles = [title for title, _ in key["exercises"]["relu"]["hints"]]
    assert titles[0] == "I do not know how to begin" and len(titles) == 3
    assert "hints" not in "".join(cell.source for cell in notebook(tiny, "release").cells)


SHARED = """\
X = torch.tensor([-1.5, 2.5])
check("relu", {
    "keeps what is positive": lambda: relu(X),
    "negative entries become zero": lambda: relu(torch.tensor([-2.0, 0.5])),
})
### BEGIN HIDDEN TESTS
check("relu", {"keeps what is positive": lambda: relu(X.reshape(2, 1))})
### END HIDDEN TESTS
"""


def test_an_answer_that_writes_into_shared_data_is_seen_as_when_it_is_graded(box: Box, tmp_path: Path) -> None:
    """Hidden observations are made in another step than those in plain sight, with data of their own."""
    check = TEXT[TEXT.index('check("relu", {') : TEXT.index("```\n\n```python hints")]
    answers = ANSWERS.replace("    return x\n", "    return x.add_(1)\n", 1)
    key = build(lesson(tmp_path, spoiled(check, SHARED), answers), box).key.exercises["relu"]
    hidden = next(one for one in key.checks if one.hidden)
    seen = hidden.mistakes[1]
    assert seen is not None and values.array(seen["value"]).tolist() == [[-0.5], [3.5]]


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        (RIGHT, "x.foo()", '    "keeps what is positive"', 'the reference fails in "keeps what is positive": '),
        (f"return {RIGHT}", "raise NotImplementedError", '    "keeps what', "the reference fails in"),
        (f"return {RIGHT}", "return {1, 2}", '    "keeps what', '"keeps what is positive" gives a set, which cannot'),
        ("torch.tensor([0.5, 3.0])", "torch.zeros(10**8)", '    "keeps what', "a tensor of shape (100000000,)"),
        (
            "    ### BEGIN SOLUTION",
            "    if x.max() > 1:\n        return x.relu()\n    ### BEGIN SOLUTION",
            'check("relu"',
            'the untouched stub of "relu" scores points',
        ),
        (ABS, f"    return {RIGHT}\n", "def relu(x):\n    return torch", "this mistake passes every check"),
        (
            ABS,
            "    return x\n",
            "def relu(x):\n    return x\n```\n\nThat is",
            'gets the sentence "That is the absolute value."',
        ),
        (
            ABS,
            f"    return {RIGHT} if x.ndim == 1 else x\n",
            "def relu(x):\n    return torch",
            "this mistake shows in hidden checks only",
        ),
        (
            "x.clamp(min=0)",
            "x.clamp(min=0.1)",
            f"{HINTED}    return x.clamp",
            'loses points: "negative entries become zero"',
        ),
        ("x.clamp(min=0)", "y", f"{HINTED}    return y", "loses points"),
        (
            "## relu\n\n",
            '## relu\n\n```python judge\njudges = {"no such": close()}\n```\n\n',
            "judges =",
            '"relu" has no check "no such"',
        ),
        (
            "## relu\n\n",
            '## relu\n\n```python judge\ngiven = {"X": {1}}\n```\n\n',
            "given =",
            'given "X" is no array',
        ),
        (
            "## relu\n\n",
            "## relu\n\n```python judge\ngiven = 1 / 0\n```\n\n",
            "given =",
            "the judge cell fails: ZeroDivisionError",
        ),
        (
            "Write it.",
            "It is relu(torch.tensor([[-1.5], [2.5]])).",
            '    "negative entries become zero": lambda: relu(torch.tensor([[',
            "shows in the release",
        ),
        (
            "relu(torch.tensor([[1.25], [2.5]]))",
            "relu(torch.tensor([0.5, 3.0, -1.0]))[:2]",
            '    "keeps what is positive": lambda: relu(torch.tensor([0.5, 3.0, -1',
            '"keeps what is positive" and its hidden twin give the same',
        ),
        (
            "    ### BEGIN SOLUTION",
            f"    # return {RIGHT}\n    ### BEGIN SOLUTION",
            "def relu",
            "a line of the solution shows in the release: return torch.where",
        ),
        (
            "Which numbers may stay as they are?",
            f"Write return {RIGHT}",
            "def relu",
            "a line of the solution shows in the release: return torch.where",
        ),
        (
            "def relu(x):\n    return x.abs()",
            "def rleu(x):\n    return x.abs()",
            "def rleu",
            "this mistake gets no name: `relu` is not defined",
        ),
    ],
)
def test_refused(box: Box, tmp_path: Path, old: str, new: str, at: str, message: str) -> None:
    with pytest.raises(LessonError) as caught:
        build(spoiled_lesson(tmp_path, old, new), box)
    assert message in caught.value.message
    assert (caught.value.path.name, caught.value.line) == place_of(tmp_path, at)


def test_a_check_that_pays_for_who_computes_nothing(box: Box, tmp_path: Path) -> None:
    text = TEXT.replace("relu(torch.tensor([0.5, 3.0]))", "torch.ones(2) + 0 * relu(torch.tensor([0.5, 3.0]))")
    text = text.replace("relu(torch.tensor([[1.25]", "torch.ones(2, 1) + 0 * relu(torch.tensor([[1.25]")
    with pytest.raises(LessonError, match='"keeps what is positive" pays for functions that return 0'):
        build(lesson(tmp_path, text), box)


def test_a_lesson_that_is_spoiled_nowhere(tiny: Built) -> None:
    assert isinstance(tiny.lesson, Lesson) and tiny.lesson.path.read_text() == TEXT


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("", "", ""),
        (f"return {RIGHT}", "return x.abs()", "of `relu` passed"),  # a reference that is wrong
        (f"return {RIGHT}", "return x.foo()", "of `relu` passed"),  # that stops
        ("torch.arange(3.0)\n```\n\n```python proof", "1 / 0\n```\n\n```python proof", "ZeroDivisionError"),
        ("== 3}", "== 4}", "AssertionError"),  # a number in the prose that is not so
    ],
)
def test_a_run_is_not_blinded_by_the_tag_that_lets_learners_go_on(root: Path, old: str, new: str, told: str) -> None:
    faults = execute(lesson(root, spoiled(old, new)), Course(root).key(SLUG)).faults
    assert len(faults) == bool(told)
    assert told in "".join(faults)
