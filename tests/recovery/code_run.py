"""Which functions of the library a replicate runs, and a hash of their code: what a calibration holds for."""

import ast
import hashlib
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("churnsurv/models/", "churnsurv/hazards/")
"""Where posteriors are made."""
REFUSALS = (
    "churnsurv/models/base.py",
    *(f"churnsurv/models/hierarchical/{name}.py" for name in ("arguments", "refusals", "unsuited")),
)
"""Files that only refuse: what they let through is not changed by them."""
WHOLE = "*"
COMPILED = {
    "fused.py": ("fused_kernels.py", "baselines/lognormal.py", "baselines/poisson.py", "baselines/weibull.py"),
    "products.py": ("products.py",),
}
"""Files with functions that run compiled, where the interpreter does not see them, by the file that calls them."""


@contextmanager
def functions_run():
    """Collect qualified names of the functions that start, by file; what has been cached before does not start again."""
    tool, found = sys.monitoring.PROFILER_ID, {}

    def started(code, _):
        file = code.co_filename.removeprefix(f"{ROOT}/")
        if file.startswith(PARTS) and file not in REFUSALS and not code.co_qualname.startswith("<"):
            found.setdefault(file, set()).add(code.co_qualname.split(".<")[0])
        return sys.monitoring.DISABLE

    sys.monitoring.use_tool_id(tool, "churnsurv sbc")
    sys.monitoring.register_callback(tool, sys.monitoring.events.PY_START, started)
    sys.monitoring.restart_events()
    sys.monitoring.set_events(tool, sys.monitoring.events.PY_START)
    try:
        yield found
    finally:
        sys.monitoring.set_events(tool, 0)
        sys.monitoring.free_tool_id(tool)


def listed(found):
    """What was collected, sorted, with what runs compiled."""
    compiled = {str(Path(file).parent / other) for file in found for other in COMPILED.get(Path(file).name, ())}
    whole = {file: [WHOLE] for file in compiled}
    return dict(sorted(({file: sorted(names) for file, names in found.items()} | whole).items()))


def hash_of(functions, root=ROOT):
    """SHA-256 over functions by file with all that they name; of a file that is gone, over its name.

    Comments, docstrings, layout and functions that were not run are left out.
    """
    trees = {}
    for file, names in functions.items():
        path = root / file
        if path.exists():
            trees[file] = _Kept(names).of(ast.parse(path.read_text(encoding="utf-8")))
    _leave_out_unnamed(trees)
    sums = hashlib.sha256()
    for file in functions:
        text = ast.unparse(trees[file]) if file in trees else "gone"
        sums.update(f"{file}\n{text}\n".encode())
    return sums.hexdigest()


class _Kept(ast.NodeTransformer):
    """Leave out other functions and everything that says nothing to the interpreter."""

    def __init__(self, names):
        self.names, self.place = set(names), []

    def of(self, tree):
        return self.visit(tree)

    def visit_FunctionDef(self, node):
        inside = any(isinstance(outer, ast.FunctionDef) for outer in self.place)
        name = ".".join([*(outer.name for outer in self.place), node.name])
        if not inside and WHOLE not in self.names and name not in self.names:
            return None
        return self._within(node)

    def visit_ClassDef(self, node):
        return self._within(node)

    def visit_Expr(self, node):
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def _within(self, node):
        self.place.append(node)
        found = self.generic_visit(node)
        self.place.pop()
        found.body = found.body or [ast.Pass()]
        return found


def _leave_out_unnamed(trees):
    """Of what stands at the left margin, keep functions and what they name, and what that names."""
    kept = {file: [isinstance(node, ast.FunctionDef) for node in tree.body] for file, tree in trees.items()}
    for file, tree in trees.items():  # methods are found through their class
        for k, node in enumerate(tree.body):
            kept[file][k] |= any(isinstance(inner, ast.FunctionDef) for inner in ast.walk(node))
    named, before = set(), -1
    while before != len(named):
        before = len(named)
        for file, tree in trees.items():
            for k, node in enumerate(tree.body):
                kept[file][k] |= bool(_bound(node) & named)
                named |= _names(node) if kept[file][k] else set()
    for file, tree in trees.items():
        tree.body = [_without(node, named) for node, keep in zip(tree.body, kept[file], strict=True) if keep]


def _without(node, named):
    """An import without what nobody names."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        node.names = [alias for alias in node.names if (alias.asname or alias.name).split(".")[0] in named]
    return node


def _bound(node):
    """Names that a statement gives a meaning."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _names(node):
    found = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return found | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
