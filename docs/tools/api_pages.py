"""Pages of the API reference: one for each subpackage, with an entry for each name in `__all__`."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
# The order of the menu. Other subpackages follow in alphabetical order.
FIRST = ["trainers", "losses", "layers", "metrics", "evaluation", "augmentation", "encoders"]
# Methods of private base classes that users call.
INHERITED = {
    "ContrastiveTrainer": ["fit", "evaluate", "predict", "embedder"],
    "ContrastiveLoss": ["stateless_call"],
}
INTRODUCTION = """# API reference

`import keras_contrastive as kc` gives access to all subpackages. `kc.ContrastiveTrainer` and
`kc.GammaContrastive` are shortcuts for the classes in `kc.trainers` and `kc.losses`.

| subpackage | contents |
| --- | --- |
"""


def parse(module: str) -> ast.Module:
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def public_names(tree: ast.Module) -> list[str]:
    """Returns the `__all__` of a module."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    raise ValueError("The module has no `__all__`.")


def sources(tree: ast.Module) -> dict[str, str]:
    """Returns the module from which each name is imported."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def subpackages() -> list[str]:
    """Returns the public subpackages in the order of the menu."""
    tree = parse("keras_contrastive")
    names = set(public_names(tree)) & {
        name for name, module in sources(tree).items() if module == "keras_contrastive"
    }
    return [name for name in FIRST if name in names] + sorted(names - set(FIRST))


def first_sentence(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".") + "." if text else ""


def summary(module: str, name: str) -> str:
    """Returns the first sentence of the docstring of a name."""
    tree = parse(module)
    source = sources(tree).get(name)
    if source:
        return summary(source, name)
    definitions = [
        node
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name
    ]
    # The overloads of a function come first and have no docstring.
    return first_sentence(definitions[-1]) if definitions else "A constant."


def options(name: str) -> list[str]:
    """Returns the options of an entry of mkdocstrings."""
    methods = ", ".join(INHERITED.get(name, []))
    return ["    options:", f"      inherited_members: [{methods}]"] if methods else []


def page(subpackage: str) -> str:
    """Returns the page of a subpackage in Markdown."""
    module = f"keras_contrastive.{subpackage}"
    tree = parse(module)
    public = {f"keras_contrastive.{other}" for other in subpackages()}
    lines = [f"# kc.{subpackage}", "", ast.get_docstring(tree) or "", ""]
    lines += ["| name | purpose |", "| --- | --- |"]
    entries = []
    for name in public_names(tree):
        source = sources(tree).get(name, module)
        home = source if source in public else module
        lines.append(f"| [`{name}`][{home}.{name}] | {summary(module, name)} |")
        if home == module:
            entries += [f"::: {module}.{name}", *options(name), ""]
    return "\n".join([*lines, "", *entries])


def pages() -> dict[str, str]:
    """Returns the pages of the reference by file name."""
    rows = ""
    made = {}
    for name in subpackages():
        text = first_sentence(parse(f"keras_contrastive.{name}"))
        rows += f"| [`kc.{name}`]({name}.md) | {text} |\n"
        made[f"{name}.md"] = page(name)
    return {"index.md": INTRODUCTION + rows, **made}
