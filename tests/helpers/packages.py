"""Tiny packages that look installed."""

import pathlib


class Site:
    """A folder of packages at the start of `sys.path`."""

    def __init__(self, root, monkeypatch):
        self.root = pathlib.Path(root)
        monkeypatch.syspath_prepend(str(root))

    def add(self, module, package, files=(), version="1.0"):
        """Adds a package, or changes its version. It raises an error if it is imported."""
        for info in self.root.glob(f"{package.replace('-', '_')}-*.dist-info"):
            (info / "METADATA").unlink()
            info.rmdir()
        info = self.root / f"{package.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        for name, content in {"__init__.py": "raise ImportError", **dict(files)}.items():
            path = self.root / module / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content, encoding="utf-8")
        return self
