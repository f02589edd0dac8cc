"""Signatures of this installation (Ed25519, RFC 8032), by which another one knows where a file comes from."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.secret import readable, seed

PURPOSE = "lab packs"


def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed(PURPOSE))


def public_key() -> str:
    """Return the public key of this installation in hex."""
    return _key().public_key().public_bytes_raw().hex()


def sign(data: bytes) -> bytes:
    """Return the signature of data, 64 bytes."""
    return _key().sign(data)


def is_signed(public_key: str, signature: bytes, data: bytes) -> bool:
    """Say whether whoever has the key signed the data."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def spoken(public_key: str) -> str:
    """Return what people read to each other to compare keys: 80 bits of its hash, such as "7K3M-9QXW-T4AB-0C5D"."""
    return readable(hashlib.sha256(bytes.fromhex(public_key)).digest(), groups=4)
