"""The secret key of the installation, and keyed hashes (HMAC-SHA256) kept in place of what nobody may read back.

Without the key nobody can find out by trying which accession number a hash stands for; with another key the same
number becomes another hash. So the key belongs into the backup, apart from the database (docs/privacy.md).
"""

import hashlib
import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path

from app.config import get_settings

KEY_BYTES = 32
FINGERPRINT = 16  # characters
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O or U to be misread
GROUPS, GROUP = 3, 4


class DamagedKeyError(RuntimeError):
    """The key file does not hold a key."""


def keyed(purpose: str, text: str) -> str:
    """Return the hash of a text in hex; different purposes give the same text different hashes."""
    return _digest(purpose, text).hex()


def pseudonym(purpose: str, text: str) -> str:
    """Return 60 bits of the hash of a text to be read by people, such as "7K3M-9QXW-T4AB".

    Among a million texts two have the same pseudonym with a probability of 4e-7.
    """
    return readable(_digest(purpose, text), GROUPS)


def readable(digest: bytes, groups: int) -> str:
    """Return the first bits of a digest as groups of four characters, 20 bits each."""
    count = groups * GROUP
    bits = int.from_bytes(digest) >> 8 * len(digest) - 5 * count
    characters = [ALPHABET[bits >> 5 * place & 31] for place in reversed(range(count))]
    return "-".join("".join(characters[start : start + GROUP]) for start in range(0, count, GROUP))


def seed(purpose: str) -> bytes:
    """Return 32 bytes for a key of another kind, the same as long as the secret key is."""
    return _digest("seed", purpose)


def fingerprint() -> str:
    """Return what tells this key from another without giving it away."""
    return keyed("fingerprint", "")[:FINGERPRINT]


def _digest(purpose: str, text: str) -> bytes:
    return hmac.new(_key(get_settings().resolved_key_file), f"{purpose}\0{text}".encode(), hashlib.sha256).digest()


@lru_cache
def _key(path: Path) -> bytes:
    """Read the key; an installation without one makes it, whichever of its processes is first."""
    if not path.exists():
        _make(path)
    words = path.read_text().strip()
    try:
        key = bytes.fromhex(words)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise DamagedKeyError(f"{path} does not hold the key of this installation: {2 * KEY_BYTES} hex digits")
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:  # another process was faster
        pass
    finally:
        new.unlink()
