"""What an owner is shown of a request, and what is left out of it."""

import pytest

from gitqueue.rules.dossier import folded, used

HASHES = "".join(f"+    --hash=sha256:{str(n) * 64}{tail}\n" for n, tail in ((1, " \\"), (2, " \\"), (3, "")))
HIDDEN = "+    --hash=sha256:" + "a" * 64 + " exec\n"


def diff(path: str, *lines: str) -> str:
    return f"diff --git a/{path} b/{path}\nindex 0..1\n--- /dev/null\n+++ b/{path}\n{''.join(lines)}"


def test_hashes_of_the_lock_are_counted_and_all_else_of_it_stays() -> None:
    lock = diff("jobs/r/j/lock.txt", "+six==1.17.0 \\\n", HASHES, "+    # via x\n", HIDDEN)
    code = diff("jobs/r/j/main.py", "+import six\n")
    text = folded(lock + code, "jobs/r/j/lock.txt")
    assert text == lock.replace(HASHES, "+    (3 hashes)\n") + code


@pytest.mark.parametrize("path", ["jobs/r/j/main.py", "jobs/r/j/lock.txt.py"])
def test_nothing_that_looks_like_a_hash_is_left_out_of_another_file(path: str) -> None:
    text = diff(path, '+"""\n', HASHES, '+"""\n')
    assert folded(text, "jobs/r/j/lock.txt") == text
    assert folded(text, "") == text


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("Ran on mock data in 1.8 s\n\nmemory     89 MiB\n", "1.8 s, 89 MiB"),
        ("Failed on mock data: exit-code 3, after 0.1 s\n\nmemory     not counted on this machine\n", "0.1 s"),
        ("Could not be run on mock data\n\nwhy", ""),
        ("Ran on mock data in 1.8 s\n\nlog        its last lines\n  | memory     1 MiB\n", "1.8 s"),
    ],
)
def test_time_and_memory_are_those_of_the_runners_own_lines(note: str, words: str) -> None:
    assert used(note) == words
