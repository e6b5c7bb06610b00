"""Builds and checks the distributions, and runs the quickstart with the wheel.

python tests/house/package.py torch   # or jax, tensorflow
"""

import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).parents[2]
QUICKSTART = ROOT / "docs" / "get_started" / "quickstart.md"
IN_SDIST = {
    *("README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "constraints.txt", "hatch_build.py"),
    *("mkdocs.yml", "pyproject.toml", "tox.ini", "docs/search.md", "docs/tools/links.py"),
    *("tests/conftest.py", "tests/saving/fixtures/", "examples/", "benchmarks/"),
}


def run(*command: str | pathlib.Path, **kwargs) -> None:
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **kwargs)


def problems(sdist: list[str], wheel: list[str], metadata: str) -> list[str]:
    """Returns what is wrong with the names in the distributions and with the metadata."""
    found = [
        f"the sdist lacks {name}"
        for name in sorted(IN_SDIST)
        if not any(path == name or (name[-1] == "/" and path.startswith(name)) for path in sdist)
    ]
    other = {name.split("/")[0] for name in wheel if ".dist-info/" not in name}
    if other != {"keras_contrastive"}:
        found.append(f"the wheel has the top folders {sorted(other)}")
    if "keras_contrastive/py.typed" not in wheel:
        found.append("the wheel lacks py.typed")
    links = re.findall(r"\]\((?!https?:|#)([^)]*)\)", metadata)
    found += [f"the readme has the relative link {link}" for link in links]
    pins = re.findall(r"^Requires-Dist: torch==.*", metadata, re.MULTILINE)
    found += [f"the metadata has the exact pin {pin}" for pin in pins]
    return found


def check(dist: pathlib.Path) -> pathlib.Path:
    """Checks the distributions in a folder, and returns the wheel."""
    (source,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    with tarfile.open(source) as archive:
        sdist = [name.split("/", 1)[1] for name in archive.getnames() if "/" in name]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        found = problems(sdist, names, archive.read(metadata).decode())
    if found:
        sys.exit("\n".join(found))
    return wheel


def run_quickstart(wheel: pathlib.Path, backend: str, folder: pathlib.Path) -> None:
    """Installs the wheel in an environment of its own, and runs the quickstart there."""
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile"]
    run(*pip, "-c", ROOT / "constraints.txt", f"{wheel}[{backend},eval]")
    code = re.search(r"^```python\n(.*?)^```", QUICKSTART.read_text(encoding="utf-8"), re.M | re.S)
    (folder / "quickstart.py").write_text(code[1], encoding="utf-8")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    run(python, "-I", "quickstart.py", cwd=folder, env=environment)


def main(backend: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT)
        wheel = check(folder / "dist")
        files = sorted((folder / "dist").iterdir())
        run(sys.executable, "-m", "twine", "check", "--strict", *files)
        run_quickstart(wheel, backend, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
