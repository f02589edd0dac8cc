"""What was computed for one request and is of use to the next."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The newest few results of each process. A result may depend on nothing but its key, and is never changed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """Return the result of a key, computed unless it is there."""
        found = self._results.get(key)
        if found is None:
            found = self._results[key] = compute()
            while len(self._results) > self._most:
                self._results.popitem(last=False)
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._results.clear()
