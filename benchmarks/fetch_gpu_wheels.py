"""Fetches the wheels that a GPU machine without a network lacks, into an ignored folder.

    python benchmarks/fetch_gpu_wheels.py
    python3 -m pip install -q --no-index --no-deps --target /tmp/site .wheels/*.whl  # over there

The machine has Python 3.12 with PyTorch, JAX, optax, torchvision and NumPy. Keras and two of its
dependencies are missing. The wheels have 3 MiB.
"""

import argparse
import pathlib
import subprocess
import sys

PACKAGES = ["keras==3.15.1", "namex==0.1.0", "optree==0.20.0"]
FOLDER = pathlib.Path(__file__).parents[1] / ".wheels"
PLATFORMS = [f"manylinux{name}_x86_64" for name in ("_2_28", "_2_27", "_2_17", "2014")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.12", help="version on the machine")
    parser.add_argument("--packages", nargs="+", default=PACKAGES)
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.whl"):  # two versions of a package would stop the installation
        old.unlink()
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", options.python, "--implementation", "cp", "-d", str(FOLDER)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *options.packages], check=True)
    wheels = sorted(FOLDER.glob("*.whl"))
    for wheel in wheels:
        print(f"{wheel.stat().st_size / 2**20:.1f} MiB  {wheel.name}")


if __name__ == "__main__":
    main()
