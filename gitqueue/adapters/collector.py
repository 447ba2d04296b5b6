"""Python's collector of what is no longer used, and where it rests."""

import gc
import threading


class Untidied:
    """While any thread makes thousands of values that all stay, the collector rests: after every 700th of them it would
    look through all that there are for some that do not, a quarter of what a long list takes."""

    def __init__(self) -> None:
        self._one_at_a_time, self._lists, self._was = threading.Lock(), 0, False

    def __enter__(self) -> None:
        with self._one_at_a_time:
            self._was = self._was if self._lists else gc.isenabled()
            self._lists += 1
            gc.disable()

    def __exit__(self, *_: object) -> None:
        with self._one_at_a_time:
            self._lists -= 1
            if self._was and not self._lists:
                gc.enable()


untidied = Untidied()
