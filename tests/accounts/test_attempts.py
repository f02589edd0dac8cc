"""Counting sign-in attempts in Redis, and without it."""

from pathlib import Path

import pytest

from app.accounts import attempts
from app.config import get_settings
from app.errors import TooManyRequests
from tests.services import Redis


def tries(email: str) -> int:
    """Try to sign in until one has to wait; returns how often that went well."""
    for number in range(20):
        try:
            attempts.begin(email, "192.0.2.1")
        except TooManyRequests:
            return number
    return 20


def test_attempts_are_counted_in_redis_and_go_on_without_it(
    installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = Redis(tmp_path).start()
    monkeypatch.setenv("FIFTYCELLS_BROKER_URL", redis.url)
    get_settings.cache_clear()
    try:
        assert tries("a@lab.example") == 5
        attempts.memory.cache_clear()
        assert tries("a@lab.example") == 0, "another server process knows"
        attempts.succeeded("a@lab.example")
        assert tries("a@lab.example") == 5
    finally:
        redis.kill()
    assert tries("a@lab.example") == 5, "without Redis this process counts alone"
    assert tries("a@lab.example") == 0
