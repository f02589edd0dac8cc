"""Limits on guessing passwords: a pause per account that doubles with every failure, and a rate per address."""

import logging
from collections.abc import Callable
from functools import lru_cache
from math import ceil
from time import time

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from app.config import get_settings
from app.errors import TooManyRequests
from app.language import _
from app.security import digest

Storage = MemoryStorage | RedisStorage

PER_ADDRESS = RateLimitItemPerMinute(30)  # a whole lab may sit behind one address
FREE_FAILURES = 5
FIRST_PAUSE = 4  # seconds
MOST_DOUBLINGS = 8  # 17 minutes; longer would help those who want to lock somebody out
REMEMBERED = 24 * 3600  # seconds

log = logging.getLogger(__name__)


def begin(email: str, address: str) -> None:
    """Count an attempt to sign in. Raises TooManyRequests when this account or this address has to wait."""
    _counted(lambda storage: _begin(storage, _key(email), address))


def succeeded(email: str) -> None:
    """Forget the failures of an account."""
    _counted(lambda storage: _forget(storage, _key(email)))


def _begin(storage: Storage, key: str, address: str) -> None:
    if not MovingWindowRateLimiter(storage).hit(PER_ADDRESS, "sign-in", address):
        raise _wait(60)
    if storage.get(f"{key}:pause"):
        raise _wait(storage.get_expiry(f"{key}:pause") - time())
    # Counted before the password is looked at, so that attempts made at the same moment count as well.
    failures = storage.incr(key, REMEMBERED)
    if failures >= FREE_FAILURES:
        storage.incr(f"{key}:pause", FIRST_PAUSE * 2 ** min(failures - FREE_FAILURES, MOST_DOUBLINGS))


def _forget(storage: Storage, key: str) -> None:
    storage.clear(key)
    storage.clear(f"{key}:pause")


def _wait(seconds: float) -> TooManyRequests:
    seconds = max(1, ceil(seconds))
    error = TooManyRequests(_("Too many attempts. Please wait %(seconds)s seconds, then try again.", seconds=seconds))
    error.headers = {"Retry-After": str(seconds)}
    return error


def _key(email: str) -> str:
    return f"sign-in:{digest(email)}"


def _counted(count: Callable[[Storage], None]) -> None:
    """Count in Redis where there is one, so that all server processes count together; signing in works without it."""
    url = get_settings().broker_url
    if url:
        try:
            count(_redis(url))
        except StorageError as error:
            log.warning("Redis does not answer, sign-in attempts are counted here only (%s)", error.storage_error)
        else:
            return
    count(memory())


@lru_cache
def memory() -> MemoryStorage:
    """Return the counters of this process."""
    return MemoryStorage()


@lru_cache
def _redis(url: str) -> RedisStorage:
    return RedisStorage(url, wrap_exceptions=True, socket_connect_timeout=2, socket_timeout=2)
