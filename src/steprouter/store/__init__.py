"""Where things are kept: a Redis server, one of our own as a child process, or this process's memory.

Every call goes through one guard: a broken store is a miss that costs its deadline once. Importing this
package loads no client library; the first use of a connection does.
"""

from steprouter.memory.recall import Missing

from .connect import Connection, connect
from .keys import Keys, load_secret
from .traces import MemoryTraces, RedisTraces, open_traces

__all__ = [
    "Connection",
    "Keys",
    "MemoryTraces",
    "Missing",
    "RedisTraces",
    "connect",
    "load_secret",
    "open_traces",
]
