"""The command line of a student edition: the part of `cli` that learners use, cut out of its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence


def learners_commands(source: str) -> str:
    """The source of the command line without the commands of those who teach and write, and what only these use."""
    lines = source.splitlines(keepends=True)
    body = ast.parse(source).body
    guarded = [one for node in body if isinstance(node, ast.If) for one in node.body]
    kept = [node for node in (*body, *guarded) if not _is_for_others(node)]
    while unused := [node for node in kept if (names := _bound(node)) and not names & _used(kept, node)]:
        kept = [node for node in kept if node not in unused]
    for node in sorted({*body, *guarded} - {*kept}, key=lambda node: node.lineno, reverse=True):
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        del lines[first - 1 : node.end_lineno]
    return re.sub(r"\n{4,}", "\n\n\n", "".join(lines)).rstrip() + "\n"


def _is_for_others(node: ast.stmt) -> bool:
    """Whether it is a command in a panel of its own, other than that of learners."""
    panels = [one.args[0] for one in getattr(node, "decorator_list", []) if isinstance(one, ast.Call) and one.args]
    return any(isinstance(panel, ast.Name) and panel.id != "LEARN" for panel in panels)


def _bound(node: ast.stmt) -> set[str]:
    """The names that a statement is there for: of a helper, a constant, or an import for types."""
    if isinstance(node, ast.FunctionDef) and (not node.decorator_list or node.name.startswith("_")):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {one.id for target in node.targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trainloop."):
        return {alias.name for alias in node.names}
    return set()


def _used(nodes: Sequence[ast.stmt], but: ast.stmt) -> set[str]:
    """The names that statements read, but one, whose own are no use of it."""
    others = (one for node in nodes if node is not but for one in ast.walk(node))
    return {one.id for one in others if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}
