"""Problems that people have reported of graders: right work with one thing about it, which should cost no point."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from tests.conftest import Grader
from tests.sample_class import filled
from trainloop.grading.grade import Graded

Doc: TypeAlias = dict[str, Any]
SLUG = "2.1-from-linear-to-nonlinear"
IMPORTS, ANSWER = "introduction-2", "mlp"


def at(doc: Doc, name: str) -> int:
    return next(index for index, one in enumerate(doc["cells"]) if one["id"] == name)


def code(text: str, name: str = "mine") -> Doc:
    return {"cell_type": "code", "id": name, "metadata": {}, "source": text, "outputs": [], "execution_count": None}


def first_line(name: str, text: str) -> Callable[[Doc], None]:
    def change(doc: Doc) -> None:
        one = doc["cells"][at(doc, name)]
        one["source"] = f"{text}\n{''.join(one['source'])}"

    return change


def before(name: str, *texts: str) -> Callable[[Doc], None]:
    def change(doc: Doc) -> None:
        place = at(doc, name)
        doc["cells"][place:place] = [code(text, f"mine-{n}") for n, text in enumerate(texts)]

    return change


def doubled(doc: Doc) -> None:
    doc["cells"] += copy.deepcopy(doc["cells"])


def compiled(doc: Doc) -> None:
    one = doc["cells"][at(doc, "activations")]
    source = "".join(one["source"])
    one["source"] = source.replace("def relu(", "@torch.compile\ndef relu(", 1)
    assert one["source"] != source


def own_module(doc: Doc) -> None:
    text = "%%writefile bending.py\nimport torch\n\n\ndef bend(v):\n    return torch.clamp(v, min=0)"
    before(ANSWER, text, "from bending import bend")(doc)
    one = doc["cells"][at(doc, ANSWER)]
    source = "".join(one["source"])
    one["source"] = source.replace("torch.relu(", "bend(")
    assert one["source"] != source


def widget_state(doc: Doc) -> None:
    state = {"version_major": 2, "state": {"m": {"state": {"value": "A" * 22_000_000}}}}
    doc["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": state}


COST_NOTHING = {
    "a backend in an answer": first_line(ANSWER, "%matplotlib widget"),
    "a backend in the imports": first_line(IMPORTS, "%matplotlib qt"),
    "a backend by a call": first_line(IMPORTS, "import matplotlib\nmatplotlib.use('TkAgg')"),
    "a package that is not there": first_line(IMPORTS, "import seaborn as sns"),
    "imports that end the process": first_line(IMPORTS, "import os\nos._exit(1)"),
    "every cell twice": doubled,
    "a compiled function": compiled,
    "a module of one's own": own_module,
    "another folder": before(IMPORTS, "import os\nos.chdir('..')", "%cd /"),
    "the state of widgets": widget_state,
}


def graded(grader: Grader, change: Callable[[Doc], None], **answers: str) -> Graded:
    doc = json.loads(filled(grader.material(SLUG).released, grader.reference(SLUG) | answers))
    change(doc)
    return grader.grade_bytes(SLUG, json.dumps(doc).encode())


@pytest.mark.parametrize("name", COST_NOTHING)
def test_it_costs_nothing(grader: Grader, name: str) -> None:
    found = graded(grader, COST_NOTHING[name])
    assert found.points == found.possible, (found.notes, [check for one in found.exercises for check in one.checks])


def test_an_edited_lesson_cell_that_stops_is_named_where_something_is_wrong(grader: Grader) -> None:
    wrong = "def relu(v):\n    return v"
    found = graded(grader, first_line(IMPORTS, "import seaborn as sns"), activations=wrong)
    assert "begins with `import seaborn as sns` stopped with ModuleNotFoundError" in found.notes[-1]
    assert "The lesson's own was run after it." in found.notes[-1]
    others = [one for one in found.exercises if one.name != "activations"]
    assert others and all(one.points == one.possible for one in others)


def test_of_two_such_cells_the_earlier_one_is_named(grader: Grader) -> None:
    cells = grader.material(SLUG).released.cells
    later = [cell.id for cell in cells if cell.cell_type == "code" and "nbgrader" not in cell.metadata][2]

    def change(doc: Doc) -> None:
        assert at(doc, IMPORTS) < at(doc, later)
        first_line(later, "raise ValueError('later')")(doc)
        first_line(IMPORTS, "import seaborn as sns")(doc)

    found = graded(grader, change, activations="def relu(v):\n    return v")
    assert [note for note in found.notes if "begins with" in note] == [found.notes[-1]]
    assert "begins with `import seaborn as sns` stopped" in found.notes[-1]
