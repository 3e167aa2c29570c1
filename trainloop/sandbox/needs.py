"""Which cells must run: a submission's own cells and the checks, and of the released demos only what these depend on.

A released demo cell runs if a cell that runs uses a name that it binds at its top level, or if it touches an object
(a name bound by anything but import, def and class) that a running cell uses or got from such an object: it may change
it. It also runs if its effect cannot be told from its syntax: it is not plain Python (magics), imports `*`, uses `exec`
and the like, deletes a name, calls into an imported module for the effect alone (`torch.set_default_dtype(...)`), or
assigns to an attribute of one. Setting a seed is no reason to run: every observation starts from a seed of its own.
Nor is a call that fills the tensors it is given and nothing else, such as `nn.init.zeros_(w)`, or one about warnings.
Drawing and printing touch nothing, unless something is called within their arguments that may change its own. Whether a
cell comes before or after another makes no difference, and names used inside functions count. But a check cell runs
after all others and calls its observations itself: whatever it binds, it uses its own.
"""

from __future__ import annotations

import ast
import itertools
import symtable
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

from trainloop.sandbox.job import Step

DISPLAY = frozenset({"print", "show", "display", "animate", "explore", "hint", "hunt"})
PLOTTING = frozenset({"matplotlib", "mpl_toolkits", "seaborn"})
HARMLESS = frozenset({"warnings"})  # packages whose calls change nothing that a check could see
SEEDS = frozenset({"manual_seed", "manual_seed_all", "seed"})
FILLS = frozenset({"vector_to_parameters"})  # what they are given, like all functions with a name that ends in `_`
# Calls that only look at what they are given.
READERS = frozenset(
    "abs dict enumerate float format int len list max min range repr reversed round set sorted str sum tuple type zip "  # noqa: SIM905
    "cpu detach flatten item join linspace mean numel numpy reshape size squeeze std tolist view".split()
)
OPAQUE = frozenset(
    "__import__ compile delattr eval exec get_ipython globals importlib locals setattr vars".split()  # noqa: SIM905
)
DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
MOST_CHARS = 300_000  # of all cells; in more than that we do not look, and run everything
MOST_IMPORTED = 1_000  # names; likewise
# Cells remembered: a lesson's own are the same in every submission, a student's are never asked for again.
CACHE_SIZE = 1_000
COMPOUND = (ast.For, ast.While, ast.If, ast.Try, ast.TryStar, ast.With, ast.Match)  # may bind, or may not


@dataclass(frozen=True)
class _CellSyntax:
    """What the syntax of a cell tells."""

    reads: frozenset[str] = frozenset()  # names that it takes from elsewhere
    binds: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()  # those of them not bound by import, def or class
    touches: frozenset[str] = frozenset()  # names of objects that it may change
    doubtful: bool = False


def cells_to_run(steps: Sequence[Step], always: AbstractSet[str], new: AbstractSet[str] | None = None) -> list[Step]:
    """The steps that must run, in their order.

    Args:
        steps: of one notebook, in order. Check steps always run.
        always: ids of code steps that run whatever happens: exercises, cells changed or added by the student.
        new: ids of those whose text will not be seen again, and is not remembered; None: all that always run.

    All steps, if there is so much code that looking would take longer than running.
    """
    if sum(len(step.source) for step in steps) > MOST_CHARS:
        return list(steps)
    new = always if new is None else new
    trees = {step.id: (_parsed if step.id in new else _ours)(step.source) for step in steps}
    modules = dict(itertools.chain.from_iterable(tree.imported for tree in trees.values()))
    if len(modules) > MOST_IMPORTED:
        return list(steps)
    cells = {}
    for step in steps:
        # Only what a cell names: all that a submission imports, kept with each of its cells, fills the memory.
        named = frozenset((name, modules[name]) for name in trees[step.id].names & modules.keys())
        read = _read if step.id in new else _read_ours
        cells[step.id] = read(step.source, named, step.kind == "check")
    running = {step.id for step in steps if step.kind == "check" or step.id in always or cells[step.id].doubtful}
    while True:
        names, objects = _wanted([cells[name] for name in running], [cells[step.id] for step in steps])
        more = {name for name, cell in cells.items() if cell.binds & names or cell.touches & objects} - running
        if not more:
            return [step for step in steps if step.id in running]
        running |= more


def execution_order(steps: Sequence[Step], always: AbstractSet[str], new: AbstractSet[str] | None = None) -> list[Step]:
    """The steps that must run, in the order in which they do: cells and checks as they stand, then the hidden checks.

    A hidden check is not in a process before everything has been seen of which the student is shown more than a fixed
    sentence; else their code could find it in memory, and say it in the message of an error. It looks at the notebook
    as it was where the check stands, all the same: see `box`.
    """
    return sorted(cells_to_run(steps, always, new), key=lambda step: step.hidden)


def binds_any(source: str, names: Collection[str]) -> bool:
    """Whether a cell binds one of these names. One that is not plain Python, or too long to look at, may: then it does
    if it mentions one."""
    mentioned = {name for name in names if name in source}
    if not mentioned:
        return False
    unread = _CellSyntax(doubtful=True)
    cell = _read(source, frozenset(), False) if len(source) <= MOST_CHARS else unread
    return cell == unread or not cell.binds.isdisjoint(mentioned)


def names_of(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names that a cell reads from elsewhere, and those that it binds; none, if it is not plain Python."""
    cell = _read(source, frozenset(), True)
    return cell.reads - cell.binds, cell.binds


def _wanted(running: Sequence[_CellSyntax], cells: Sequence[_CellSyntax]) -> tuple[set[str], set[str]]:
    """The names that running cells read, and the objects that must be as they would be had every cell run."""
    names = {name for cell in running for name in cell.reads}
    objects = {name for cell in cells for name in cell.objects & names}
    while True:  # an object made from such an object may be another name for a part of it
        made = {name for cell in running if cell.touches & objects for name in cell.objects}
        if made <= objects:
            return names, objects
        objects |= made


@dataclass(frozen=True)
class _Parsed:
    """The names in a cell."""

    names: frozenset[str] = frozenset()
    imported: tuple[tuple[str, str], ...] = ()  # with the package that each comes from, where that matters


def _parsed(source: str) -> _Parsed:
    names, imported = set(), []
    for node in ast.walk(_parse(source) or ast.Module([], [])):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Import):
            imported += [(one.asname or one.name.partition(".")[0], one.name) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported += [(one.asname or one.name, node.module or "") for one in node.names]
    packages = ((name, module.partition(".")[0]) for name, module in imported)
    known = ((name, package if package in PLOTTING | HARMLESS else "") for name, package in packages)
    return _Parsed(frozenset(names), tuple(dict(known).items()))


_ours = lru_cache(CACHE_SIZE)(_parsed)


def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _read(source: str, imported: frozenset[tuple[str, str]], is_check: bool) -> _CellSyntax:
    tree = _parse(source)
    if tree is None:
        return _CellSyntax(doubtful=True)
    try:
        return _look(tree, dict(imported), is_check)
    except (SyntaxError, ValueError, RecursionError):  # code that is nested deeper than we can look
        return _CellSyntax(doubtful=True)


_read_ours = lru_cache(CACHE_SIZE)(_read)


def _look(tree: ast.Module, modules: dict[str, str], is_check: bool) -> _CellSyntax:
    tables = [(one, symtable.symtable(ast.unparse(one), "cell", "exec")) for one in tree.body]
    reads: set[str] = set()
    later: set[str] = set()  # read inside functions, perhaps when another cell has bound them anew
    binds: set[str] = set()
    objects: set[str] = set()
    surely: set[str] = set()  # bound by this cell before it reads them
    for statement, table in tables:
        bound = set(_bound(table))
        for name, is_later in _uses(table):
            if name not in surely:
                reads.add(name)
            elif is_later:
                later.add(name)
        reads |= _augmented(statement) - surely
        binds |= bound
        if not isinstance(statement, DEFINITIONS):
            objects |= bound
        if not isinstance(statement, COMPOUND):
            surely |= bound
    looks = DISPLAY | {name for name, package in modules.items() if package in PLOTTING | HARMLESS}
    return _CellSyntax(
        frozenset(reads if is_check else reads | later),
        frozenset(binds),
        frozenset(objects),
        frozenset(_touched(tree.body, set(looks))),
        any(_is_doubtful(node, modules, looks) for node in ast.walk(tree)),
    )


def _bound(table: symtable.SymbolTable, top: bool = True) -> Iterator[str]:
    """Names that a statement binds in the notebook's namespace."""
    for symbol in table.get_symbols():
        if (top or symbol.is_declared_global()) and (symbol.is_assigned() or symbol.is_imported()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _bound(child, top=False)


def _uses(table: symtable.SymbolTable, top: bool = True) -> Iterator[tuple[str, bool]]:
    """Names of the notebook's namespace that a statement reads, and whether in a function, that is, perhaps later."""
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (top or symbol.is_global()):
            yield symbol.get_name(), not top
    for child in table.get_children():
        yield from _uses(child, top=False)


def _augmented(node: ast.AST) -> set[str]:
    """Targets of `+=` and the like, which the symbol table does not count as read."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):  # its own, unless it says otherwise
        declared = {name for one in ast.walk(node) if isinstance(one, ast.Global) for name in one.names}
        return declared & {_root(one.target) or "" for one in ast.walk(node) if isinstance(one, ast.AugAssign)}
    found = {_root(node.target) or ""} if isinstance(node, ast.AugAssign) else set()
    return found.union(*(_augmented(child) for child in ast.iter_child_nodes(node)))


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _annotations(statement: ast.AST) -> set[str]:
    """Names that stand in type hints only."""
    hints: set[ast.AST] = set()
    for node in ast.walk(statement):
        found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        hints.update(part for hint in found if isinstance(hint, ast.expr) for part in ast.walk(hint))
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return {node.id for node in names if node in hints} - {node.id for node in names if node not in hints}


def _root(node: ast.AST) -> str | None:
    """`torch` of `torch.nn.init.zeros_(w)`; the name that a chain of attributes, calls and items begins with."""
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _touched(body: Iterable[ast.stmt], looks: set[str]) -> set[str]:
    """Names of objects that statements may change. `looks`, names that draw or print, grows by what they return."""
    touched: set[str] = set()
    for statement in body:
        match statement:
            case ast.Expr(value=ast.Call(args=args, keywords=keywords) as call) if _root(call) in looks:
                touched |= _changed([*args, *(one.value for one in keywords)], looks)
            case ast.Assign(targets=targets, value=ast.Call() as call) if _root(call) in looks:
                looks |= {name for target in targets for name in _names(target)}
                touched |= _changed(call.args, looks)
            case ast.For(target=target, iter=source, body=inner, orelse=other):
                if _names(source) & looks:
                    looks |= _names(target)
                touched |= _changed([source], looks) | _touched([*inner, *other], looks)
            case ast.If(test=test, body=inner, orelse=other) | ast.While(test=test, body=inner, orelse=other):
                touched |= _changed([test], looks) | _touched([*inner, *other], looks)
            case ast.With(items=items, body=inner):
                touched |= _changed(items, looks) | _touched(inner, looks)
            case _:
                touched |= _names(statement) - _annotations(statement)
    return touched


def _changed(nodes: Iterable[ast.AST], looks: set[str]) -> set[str]:
    """Names that expressions may change, by handing them to a call that may do more than look."""
    return {
        name
        for node in nodes
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and _root(call) not in looks and _called(call) not in READERS
        for name in _names(call)
    }


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _is_doubtful(node: ast.AST, modules: dict[str, str], looks: AbstractSet[str]) -> bool:
    """Whether something's effect on the rest of the notebook cannot be told from its syntax."""
    match node:
        case ast.ImportFrom(names=names):
            return any(alias.name == "*" for alias in names)
        case ast.Name(id=name):
            return name in OPAQUE
        case ast.Delete():
            return True
        case ast.Expr(value=ast.Call() as call):
            known = _called(call) in SEEDS | FILLS or _called(call).endswith("_")
            return _root(call) in modules and _root(call) not in looks and not known
        case ast.Attribute(ctx=ast.Store()):
            return _root(node) in modules and _root(node) not in looks
        case ast.Call():
            return _called(node).startswith("set_") and _root(node) in modules.keys() - looks
    return False
