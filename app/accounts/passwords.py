"""Passwords: Argon2id, and which ones are refused."""

from functools import lru_cache

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from app.language import _

# OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane. Memory is per running sign-in, so not more.
HASHER = PasswordHash((Argon2Hasher(memory_cost=19 * 1024, time_cost=2, parallelism=1),))
SHORTEST = 12
SHORTEST_NAME = 4  # a shorter name is in a password by chance
LONGEST = 200  # more would only make the server work
# Of the often used ones only those matter that are long enough.
_OFTEN_USED = """
    password1234 passwordpassword password12345 password123456 123456789012 1234567890123 12345678901234
    123412341234 111111111111 000000000000 987654321098 qwertyuiop12 qwertyuiop123 qwertyuiopas qwerty123456
    qwertyqwerty 1q2w3e4r5t6y 1qaz2wsx3edc q1w2e3r4t5y6 zaq12wsxcde3 abcdefghijkl abc123456789 abcd12345678
    asdfghjkl123 administrator administrator1 adminadminadmin admin1234567 admin123456789 welcome12345
    welcome123456 letmeinletmein iloveyou1234 iloveyouiloveyou changemechangeme changeme1234 hematology123
    haematology1 laboratory12 laboratory123 laboratorium microscope12 microscopy12 leukocytes12 fiftycells12
    fiftycells123 fiftycellsfiftycells
"""
COMMON = frozenset(_OFTEN_USED.split())


def check(password: str, email: str) -> str:
    """Say why a new password is refused; empty when it is accepted."""
    plain = password.casefold()
    if len(password) < SHORTEST:
        return _(
            "At least %(shortest)s characters, please. A few words are easier to remember than signs.",
            shortest=SHORTEST,
        )
    if len(password) > LONGEST:
        return _("At most %(max_length)s characters, please.", max_length=LONGEST)
    if plain in COMMON or len(set(plain)) < 5:
        return _("This password is among the first ones anybody would try. Choose another one.")
    local_part = email.partition("@")[0].casefold()
    if len(local_part) >= SHORTEST_NAME and local_part in plain:
        return _("The password must not contain the name in your e-mail address.")
    return ""


def hash_password(password: str) -> str:
    """Return the Argon2id hash to store."""
    return HASHER.hash(password)


def verify(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Compare with a stored hash; also return a new hash where the stored one has outdated parameters.

    Without a stored hash the same work is done, so that the time tells nobody whether an account exists.
    """
    ok, renewed = HASHER.verify_and_update(password[:LONGEST], stored or _nobodys_hash())
    return (ok, renewed) if stored else (False, None)


@lru_cache
def _nobodys_hash() -> str:
    return HASHER.hash("the password of nobody")
