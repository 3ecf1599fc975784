"""`smsflow run` with a store that is slower, or tried more often: SQLite itself cannot be told to be slow.

python tests/seams.py COMMIT_S PROBE_S run --config FILE
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from smsflow import daemon
from smsflow.cli import main
from smsflow.store.store import Store


def slow_down(commit_s: float) -> None:
    """Let each transaction that has written take so much longer, before it is on the disk."""
    quick = Store.transaction

    @contextmanager
    def transaction(self: Store) -> Iterator[None]:
        before = self.writes
        with quick(self):
            yield
            if self.writes > before:
                time.sleep(commit_s)

    Store.transaction = transaction  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_down(float(sys.argv[1]))
    daemon._PROBE_S = float(sys.argv[2])
    main(sys.argv[3:])
