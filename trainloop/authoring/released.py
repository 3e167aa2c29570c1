"""nbgrader's own generation of a release, but for one step: the scripts of a challenge are released as they are to be
mended, where an exercise of a lesson is cleared to a stub.

`nbgrader_config.py` names the same steps, so that `nbgrader generate_assignment` and the formgrader give what the build
gives.
"""

from __future__ import annotations

from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.preprocessors import ClearSolutions as NbgradersOwn

from trainloop.authoring.lesson import RELEASED, released_script


class ClearSolutions(NbgradersOwn):  # type: ignore[misc]
    """Takes out the solutions; where one holds what is to be released, that stands in its place."""

    def _replace_solution_region(self, cell: NotebookNode, language: str) -> bool:
        if cell.cell_type == "code" and RELEASED in cell.source:
            cell.source = released_script(cell.source)
            return True
        return bool(super()._replace_solution_region(cell, language))


PREPROCESSORS = [ClearSolutions if one is NbgradersOwn else one for one in GenerateAssignment.preprocessors.default()]
