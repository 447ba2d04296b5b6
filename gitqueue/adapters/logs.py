"""What a job says: both streams with times, head and tail kept, safe on any bytes, there to follow while it runs.

The file is `log` in the job's folder. It grows line by line until half of its bytes are used; from then on what follows
that head is the tail, written anew every half second. `Follower` reads it so.
"""

import os
import time
from collections import deque

LINE = 4096  # bytes; longer ones are broken, so that a flood without a newline still shows
GAP = ("… ".encode(), " bytes left out …\n".encode())  # no line of a job's begins so: each has its time first
TAIL_EVERY = 0.5  # seconds between two writings of the tail
_UNSEEN = (*range(9), *range(10, 32), *range(127, 160), *range(0x200B, 0x2010), *range(0x2028, 0x202F))
_ESCAPES = {code: f"\\u{code:04x}" for code in (*_UNSEEN, *range(0x2060, 0x2070), 0xFEFF)}


class Log:
    """One job's log file. `cap` bounds it in bytes (about): half for the head, half for the tail."""

    def __init__(self, path: str, cap: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._half = cap // 2
        self._head = 0  # bytes of the file that are final
        self._parts: dict[str, bytes] = {}
        # As read and not yet formatted: a flood must cost us less than it costs the job.
        self._tail: deque[tuple[float, str, bytes]] = deque()
        self._tail_size = self._left_out = 0
        self._written_at = 0.0

    def feed(self, stream: str, data: bytes) -> None:
        """Take what came on stream `out` or `err`; never blocks, never grows."""
        if self._head < self._half:
            self._add(_lines(self._parts, time.time(), stream, data))
            return
        self._tail.append((time.time(), stream, data))
        self._tail_size += len(data)
        while self._tail_size > self._half and len(self._tail) > 1:
            gone = len(self._tail.popleft()[2])
            self._tail_size -= gone
            self._left_out += gone

    def note(self, text: str) -> None:
        """A line of the supervisor's own."""
        self.feed("gitqueue", f"{text}\n".encode())

    def tick(self) -> None:
        """Called now and then: shows the tail of a long log to who follows."""
        if self._tail and time.monotonic() - self._written_at > TAIL_EVERY:
            self._write_tail()

    def close(self) -> None:
        if self._tail:
            self._write_tail()
        else:
            self._add(_rest(self._parts))
        os.close(self._fd)

    def _add(self, entry: bytes) -> None:
        os.pwrite(self._fd, entry, self._head)
        self._head += len(entry)

    def _write_tail(self) -> None:
        """After the head; the next writing replaces it."""
        parts = dict(self._parts)
        gap = str(self._left_out).encode().join(GAP) if self._left_out else b""
        text = b"".join(_lines(parts, *chunk) for chunk in self._tail) + _rest(parts)
        body = gap + text[-self._half :]
        os.pwrite(self._fd, body, self._head)
        os.ftruncate(self._fd, self._head + len(body))
        self._written_at = time.monotonic()


class Follower:
    """For who reads a log while it is written: each line once, and what was left out as that."""

    def __init__(self, path: str) -> None:
        self._path, self._told, self._last = path, 0, b""

    def look(self) -> str:
        """What there is since the last look, whole lines; "" where there is nothing new, or no log yet."""
        try:
            with open(self._path, "rb") as file:
                whole = file.read()
        except FileNotFoundError:
            return ""
        return self.told(whole)

    def told(self, whole: bytes) -> str:
        """What is new in the whole log as it is now."""
        whole = whole[: whole.rfind(b"\n") + 1]
        at = self._told if whole[: self._told].endswith(self._last) else self._after_last(whole)
        if at < len(whole):
            self._told, self._last = len(whole), whole[whole.rfind(b"\n", 0, -1) + 1 :]
        return whole[at:].decode(errors="replace")

    def _after_last(self, whole: bytes) -> int:
        """The tail was written anew: where the last line that we told stands now, else where the tail begins."""
        found = whole.rfind(self._last)
        return found + len(self._last) if found >= 0 else max(whole.rfind(b"\n" + GAP[0]) + 1, 0)


class Capture:
    """The first `cap` bytes of standard output, and the last words on standard error."""

    def __init__(self, cap: int) -> None:
        self.out, self.err = bytearray(), b""
        self._cap = cap

    def feed(self, stream: str, data: bytes) -> None:
        if stream == "out":
            self.out += data[: self._cap + 1 - len(self.out)]
        else:
            self.err = (self.err + data)[-LINE:]

    def tick(self) -> None:
        """Nobody follows."""

    @property
    def whole(self) -> bool:
        return len(self.out) <= self._cap


def _lines(parts: dict[str, bytes], now: float, stream: str, data: bytes) -> bytes:
    """What is complete, as entries of the log; the rest stays in `parts`."""
    *lines, rest = (parts.get(stream, b"") + data).split(b"\n")
    while len(rest) >= LINE:
        lines.append(rest[:LINE])
        rest = rest[LINE:]
    parts[stream] = rest
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03d}Z {stream} "
    return b"".join(_entry(stamp, line) for line in lines)


def _rest(parts: dict[str, bytes]) -> bytes:
    return b"".join(_lines(parts, time.time(), stream, b"\n") for stream, rest in tuple(parts.items()) if rest)


def _entry(stamp: str, line: bytes) -> bytes:
    text = line.decode("utf-8", "backslashreplace").translate(_ESCAPES)
    return f"{stamp}{text}\n".encode()
