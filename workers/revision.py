"""Which code computed something: told by the code itself, so that an installation without git knows it as well."""

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent


@lru_cache
def revision() -> str:
    """Return the version of the package and a hash of its source, such as "0.1.0+4f0c21ab93de"."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in ("app", "workers") for path in (ROOT / folder).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return f"{version('fiftycells')}+{digest.hexdigest()[:12]}"
