"""Server-sent events out of bytes, however the network cut them (WHATWG HTML, 9.2)."""

from __future__ import annotations

BOM = b"\xef\xbb\xbf"

LONGEST_LINE = 64 * 2**20
"""Bytes in one line. Far above any real chunk (images come to a few MB); a bound all the same, because a
server that never ends a line would otherwise fill the memory."""


def is_utf8(data: bytes) -> bool:
    """Whether `data` is UTF-8.

    Readers replace what is not, as the standard says. That may pass in a text, but a tool that is called with a
    replacement would do something nobody asked for.
    """
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class LineTooLong(ValueError):
    """A line grew beyond `LONGEST_LINE`."""


class EventReader:
    """Takes bytes in any pieces and gives the data of whole events.

    Only what chat streams use is read: `data`, and `event` where it says `error`. llama.cpp's field
    `error: {…}` counts as such an event too. Both come out as `{"error": …}`.
    """

    __slots__ = ("_after_cr", "_data", "_is_error", "_parts", "_size", "_started")

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # the unfinished line, unjoined: joining at each read would be quadratic
        self._size = 0
        self._data: list[bytes] = []
        self._is_error = False
        self._after_cr = False
        self._started = False

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that `data` completes.

        Raises:
            LineTooLong: The server does not end its line.
        """
        if not data:
            return []
        if self._after_cr:  # an LF that belongs to the CR before it, which came with the last read
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if b"\n" not in data and b"\r" not in data:
            self.keep(data)
            return []
        if self._parts:
            data = b"".join([*self._parts, data])
            self._parts, self._size = [], 0
        if not self._started:
            self._started = True
            data = data.removeprefix(BOM)
        lines = data.splitlines()
        if data[-1] == 13:
            self._after_cr = True
        elif data[-1] != 10:
            self.keep(lines.pop())
        return self.events(lines)

    def keep(self, part: bytes) -> None:
        """Add to the unfinished line."""
        if part:
            self._parts.append(part)
            self._size += len(part)
            if self._size > LONGEST_LINE:
                raise LineTooLong(f"a line of a stream must have at most {LONGEST_LINE} bytes")

    def events(self, lines: list[bytes]) -> list[bytes]:
        """The data of the events that end within `lines`."""
        found: list[bytes] = []
        pending = self._data
        for line in lines:
            if line[:5] == b"data:":
                pending.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if pending:
                    found.append(self.flush())
                    pending = self._data
                self._is_error = False
            else:
                self.other(line)
        return found

    def other(self, line: bytes) -> None:
        """A field that is not `data`, or a comment."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._is_error = value == b"error"
        elif name == b"error":
            self._is_error = True
            self._data.append(value)
        elif line == b"data":  # a field without a colon has an empty value
            self._data.append(b"")

    def flush(self) -> bytes:
        """The pending data as one event."""
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data = []
        return b'{"error":' + data + b"}" if self._is_error else data

    def end(self) -> bytes | None:
        """The event that was open when the stream ended; None if there was none.

        The standard drops it. It is given all the same, because some servers forget the last empty line;
        whether it is whole is for the reader of its JSON to see.
        """
        if self._parts:
            last = b"".join(self._parts)
            self._parts, self._size = [], 0
            self.events([last if self._started else last.removeprefix(BOM)])
        return self.flush() if self._data else None
