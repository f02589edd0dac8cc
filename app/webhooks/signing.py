"""Secrets and signatures, as the Standard Webhooks specification 1.0 describes them (standardwebhooks.com)."""

import base64
import hashlib
import hmac
import secrets
from datetime import timedelta

from app.db import now
from app.models import Webhook
from app.secret import keyed

OVERLAP = timedelta(days=1)  # the secret before goes on signing, so that a receiver has time to change


def new_salt() -> str:
    """Return what makes a secret unlike any other."""
    return secrets.token_hex(16)


def secret_of(salt: str) -> str:
    """Return the secret of a salt: with the database alone, nobody can sign."""
    return "whsec_" + base64.b64encode(_key(salt)).decode()


def signatures(webhook: Webhook, key: str, timestamp: int, body: str) -> str:
    """Return the header that proves where a body comes from, separated by spaces while two secrets hold."""
    signed = f"{key}.{timestamp}.{body}".encode()
    salts = [webhook.salt]
    if webhook.old_salt and webhook.rotated_at and webhook.rotated_at > now() - OVERLAP:
        salts.append(webhook.old_salt)
    digests = [hmac.new(_key(salt), signed, hashlib.sha256).digest() for salt in salts]
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)


def _key(salt: str) -> bytes:
    return bytes.fromhex(keyed("webhook", salt))
