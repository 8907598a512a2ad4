"""The rules of the house that no linter knows, each a function from source to complaints.

A checker takes the text of one module, or a list of paths, and returns one line for each
breach, empty when there is none. `test_house.py` holds the tree to them and shows, with a
bad example for each, that they can complain. CONTRIBUTING.md says the rules in words.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MANY_FUNCTION_LINES = 30
SHARE_OF_SHORT_FUNCTIONS = 0.9
MAX_PARAMETERS = 6
MAX_POSITIONAL = 2

Def = ast.FunctionDef | ast.AsyncFunctionDef

IMPURE_MODULES = """
asyncio concurrent datetime http io logging multiprocessing os random secrets select selectors shutil signal socket
subprocess tempfile threading time urllib uuid
"""
IMPURE_CALLS = "breakpoint compile eval exec input open print __import__"
VAGUE_NAMES = "base common helper helpers manager managers misc shared stuff tools util utils"
MUTABLE_TYPES = """
bytearray Condition Counter defaultdict deque dict Event Gauge Histogram list Lock OrderedDict Queue RLock Semaphore
set Summary WeakKeyDictionary WeakSet WeakValueDictionary
"""
READ_ONLY_TYPES = "AbstractSet Collection Container frozenset Iterable Mapping Sequence Set tuple"


@dataclass(frozen=True, slots=True)
class Function:
    """One function or method: where it is, and how many lines it has without its docstring."""

    name: str
    line: int
    num_lines: int


def functions(source: str) -> list[Function]:
    """Return every function of a module, nested ones too."""
    return [Function(node.name, node.lineno, _num_lines(node)) for node in _defs(ast.parse(source))]


def oversized(source: str) -> list[str]:
    """Complain of a module above 400 lines and of a function above 60."""
    complaints = [
        f"line {function.line}: {function.name} has {function.num_lines} lines, at most {MAX_FUNCTION_LINES}"
        for function in functions(source)
        if function.num_lines > MAX_FUNCTION_LINES
    ]
    if (num_lines := len(source.splitlines())) > MAX_MODULE_LINES:
        complaints.append(f"the module has {num_lines} lines, at most {MAX_MODULE_LINES}")
    return complaints


def share_of_short(sources: Iterable[str]) -> float:
    """Return which share of all functions has fewer than 30 lines; 1 where there is none."""
    sizes = [function.num_lines for source in sources for function in functions(source)]
    return sum(size < MANY_FUNCTION_LINES for size in sizes) / len(sizes) if sizes else 1.0


def crowded_signatures(source: str) -> list[str]:
    """Complain of more than six parameters, or more than two that may be passed by position.

    Exempt are commands, whose parameters are options that a person types, and special
    methods, whose signatures are Python's.
    """
    tree = ast.parse(source)
    methods = {item for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body}
    complaints = []
    for node in _defs(tree):
        if _is_command(node) or (node.name.startswith("__") and node.name != "__init__"):
            continue
        positional = len(node.args.posonlyargs) + len(node.args.args)
        positional -= node in methods and "staticmethod" not in _decorators(node)
        total = positional + len(node.args.kwonlyargs)
        if positional > MAX_POSITIONAL:
            complaints.append(
                f"line {node.lineno}: {node.name} takes {positional} by position, at most {MAX_POSITIONAL}"
            )
        if total > MAX_PARAMETERS:
            complaints.append(f"line {node.lineno}: {node.name} takes {total} parameters, at most {MAX_PARAMETERS}")
    return complaints


def impure(source: str) -> list[str]:
    """Complain of what the core must not do: foreign imports, clocks, chance, input and output."""
    complaints = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import() | ast.ImportFrom():
                complaints += [f"line {node.lineno}: imports {name}" for name in _imported(node) if _is_foreign(name)]
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS.split():
                complaints.append(f"line {node.lineno}: calls {name}()")
            case _:
                pass
    return complaints


def undocumented(source: str) -> list[str]:
    """Complain of a module that does not open with what it is for."""
    return [] if ast.get_docstring(ast.parse(source)) else ["the module has no docstring"]


def module_state(source: str) -> list[str]:
    """Complain of what can change at module level.

    A table is a constant when its annotation is a read-only type (`Mapping`, `Sequence`,
    `frozenset`, ...), because mypy then refuses to change it.
    """
    tree = ast.parse(source)
    complaints = [f"line {node.lineno}: global" for node in ast.walk(tree) if isinstance(node, ast.Global)]
    for node in tree.body:
        target, value = _assignment(node)
        if target and target != "__all__" and value and _is_mutable(value) and not _is_read_only(node):
            complaints.append(
                f"line {node.lineno}: {target} can change; annotate it as Mapping, Sequence, ... or move it"
            )
    return complaints


def missing_exports(source: str) -> list[str]:
    """Complain of names in `__all__` that the module does not have."""
    tree = ast.parse(source)
    exported: list[str] = []
    present: set[str] = set()
    for node in tree.body:
        target, value = _assignment(node)
        if target == "__all__" and value is not None:
            exported = ast.literal_eval(value)
        present.update(_bound(node))
    return [f"__all__ names {name}, which is not there" for name in exported if name not in present]


def vaguely_named(paths: Iterable[str]) -> list[str]:
    """Complain of modules and packages named for nothing in particular."""
    return [
        f"{path}: name it for what it knows"
        for path in paths
        if any(set(VAGUE_NAMES.split()) & set(part.split("_")) for part in PurePosixPath(path).with_suffix("").parts)
    ]


def wrongly_tracked(paths: Iterable[str]) -> list[str]:
    """Complain of generated code, lock files with addresses, and source roots made packages."""
    complaints = []
    for path in map(PurePosixPath, paths):
        if "_pb2" in path.stem or path.is_relative_to("proto/gen"):
            complaints.append(f"{path}: is generated at every install")
        if path.suffix == ".lock":
            complaints.append(f"{path}: records download addresses; requirements/*.txt take its place")
        if path.name == "__init__.py" and len(path.parts) == 2:
            complaints.append(f"{path}: a room is a source root; as a package it may shadow another (operator/ does)")
    return complaints


def addresses(requirements: str) -> list[str]:
    """Complain of lines in compiled requirements that tie them to one index or machine."""
    marks = ("://", "--index-url", "--extra-index-url", "--find-links", "-i ", "-f ")
    lines = enumerate(requirements.splitlines(), start=1)
    return [f"line {number}: {line}" for number, line in lines if any(mark in line for mark in marks)]


def modules_below(*folders: Path) -> list[Path]:
    """Return every Python file below the folders."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def _defs(tree: ast.AST) -> Iterator[Def]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _num_lines(node: Def) -> int:
    """Lines from `def` to the end, the docstring not counted: explaining is free."""
    end = node.end_lineno or node.lineno
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    return end - node.lineno + 1 - (documented and (first.end_lineno or 0) - first.lineno + 1)


def _decorators(node: Def) -> set[str]:
    calls = (item.func if isinstance(item, ast.Call) else item for item in node.decorator_list)
    return {item.attr if isinstance(item, ast.Attribute) else getattr(item, "id", "") for item in calls}


def _is_command(node: Def) -> bool:
    return bool(_decorators(node) & {"command", "callback"})


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The modules of an import; none for a relative one, which stays in the package."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if node.module and node.level == 0 else []


def _is_foreign(name: str) -> bool:
    """Whether a module is neither the core's own nor a pure part of the standard library."""
    root = name.partition(".")[0]
    return root in IMPURE_MODULES.split() or (root not in sys.stdlib_module_names and root != "niyama_core")


def _assignment(node: ast.stmt) -> tuple[str | None, ast.expr | None]:
    match node:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=value)
        ):
            return name, value
        case _:
            return None, None


def _is_mutable(value: ast.expr) -> bool:
    match value:
        case ast.List() | ast.Dict() | ast.Set() | ast.ListComp() | ast.DictComp() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name in MUTABLE_TYPES.split()
        case _:
            return False


def _is_read_only(node: ast.stmt) -> bool:
    """`Mapping[...]`, `Final[Mapping[...]]` and the like."""
    match node:
        case ast.AnnAssign(annotation=ast.Subscript(value=ast.Name(id="Final"), slice=kind)):
            pass
        case ast.AnnAssign(annotation=kind):
            pass
        case _:
            return False
    match kind:
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)):
            return name in READ_ONLY_TYPES.split()
        case _:
            return False


def _bound(node: ast.stmt) -> set[str]:
    """Names that a statement at module level binds, also within `if` and `try`."""
    names: set[str] = set()
    for item in ast.walk(node):
        match item:
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names.update((alias.asname or alias.name).partition(".")[0] for alias in aliases)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case _:
                pass
    return names
