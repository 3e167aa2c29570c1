"""All that a command turns into a sentence stands below one error."""

from __future__ import annotations

import ast

from tests.test_rooms import sources


def test_every_error_of_the_package_stands_below_one() -> None:
    classes = [
        node for text in sources().values() for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)
    ]
    bases = {one.name: {base.id for base in one.bases if isinstance(base, ast.Name)} for one in classes}
    known = {"TrainloopError"}
    while more := {name for name, above in bases.items() if above & known} - known:
        known |= more
    errors = {name for name in bases if name.endswith("Error") and not name.startswith("_")}
    assert {"CourseError", "CollectError", "BoxError"} < known
    assert errors - known == set()
