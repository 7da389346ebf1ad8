"""A Redis server as a child process, shared by all processes that use the same data directory."""

from .server import EmbeddedServer, ServerFacts, acquire

__all__ = ["EmbeddedServer", "ServerFacts", "acquire"]
