"""What a request's folder may hold, as a table; the gate's tests push some of these for real."""

import pytest

from gitqueue.model import FILE, LINK, PROGRAM, SUBMODULE
from gitqueue.rules.tree import Caps, File, escape, judge

CAPS = Caps(1000, 10)
GOOD = File("job.yaml", FILE, 4, b"a: b")


def reasons(*files: File, run: tuple[str, ...] = ()) -> tuple[str, ...]:
    return judge(files, CAPS, run)


REFUSED = {
    "a symbolic link": (File("data", LINK, 4), "'data' is a symbolic link"),
    "a submodule": (File("lib", SUBMODULE, 0), "'lib' is a submodule"),
    "an unusual mode": (File("a.py", 0o100664, 1, b"1"), "of mode 100664"),
    "a long path": (File("a" * 241, FILE, 1, b"1"), "has 241 bytes in its path"),
    "a deep path": (File("d/" * 16 + "a", FILE, 1, b"1"), "lies 16 folders deep"),
    "a control character": (File("a\x1b[31m.py", FILE, 1, b"1"), "control or invisible characters in its name"),
    "a bidi character in a name": (File("a\u202egpj.py", FILE, 1, b"1"), "<U+202E>"),
    "a name that is not UTF-8": (File("a\udcff.py", FILE, 1, b"1"), "is not UTF-8"),
    ".gitattributes": (File("sub/.gitattributes", FILE, 1, b"1"), "would change how git shows or stores files"),
    ".GITMODULES": (File(".GITMODULES", FILE, 1, b"1"), "would change how git"),
    ".git in disguise": (File(".g\u200cit/config", FILE, 1, b"1"), "would change how git"),
    "git~1": (File("git~1/config", FILE, 1, b"1"), "would change how git"),
    ".lfsconfig": (File(".lfsconfig", FILE, 1, b"1"), "would change how git"),
    "a NUL byte in code": (File("a.py", FILE, 5, b"1\n2\0\n"), "'a.py' line 2 has a NUL byte"),
    "a NUL byte in text": (File("a.csv", FILE, 2, b"1\0"), "has a NUL byte"),
    "a NUL byte in a program": (File("tool.bin", PROGRAM, 2, b"1\0"), "has a NUL byte"),
    "Trojan Source": (File("a.py", FILE, 9, "x = 1\ny\u202e = 2".encode()), "line 2 has invisible or direction"),
    "an invisible name in code": (File("a.r", FILE, 9, "x\u200b <- 1".encode()), "(U+200B)"),
}


@pytest.mark.parametrize(("file", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_request_may_not_hold(file: File, reason: str) -> None:
    assert any(reason in said for said in reasons(GOOD, file))
    assert reasons(GOOD) == ()


def test_what_is_run_is_code_whatever_its_name() -> None:
    hidden = File("picture.png", FILE, 3, b"1\0\n")
    assert reasons(GOOD, hidden) == ()
    assert "'picture.png' line 1 has a NUL byte" in reasons(GOOD, hidden, run=("sh", "picture.png"))[0]


@pytest.mark.parametrize("text", ["naïve = 'Zürich'\n", "\ufeffx = 1\n", "x = '数据'\n", "\tx\r\n"])
def test_honest_code_in_any_language_passes(text: str) -> None:
    assert reasons(GOOD, File("main.py", FILE, 9, text.encode())) == ()


@pytest.mark.parametrize(
    ("one", "other"), [("Main.py", "main.py"), ("é.py", "e\u0301.py"), ("A/x.py", "a/y.py"), ("ﬁ.py", "fi.py")]
)
def test_paths_that_some_file_systems_take_for_one_are_refused(one: str, other: str) -> None:
    said = reasons(GOOD, File(one, FILE, 1, b"1"), File(other, FILE, 1, b"1"))
    assert any("differ only by case or unicode form" in reason for reason in said)
    assert not reasons(GOOD, File(one, FILE, 1, b"1"), File("z" + other.rpartition("/")[2], FILE, 1, b"1"))


def test_sizes_and_counts_are_capped_and_an_empty_folder_is_said() -> None:
    assert "the job has 1001 bytes; 1000 are allowed" in reasons(GOOD, File("a.py", FILE, 997))[0]
    assert reasons(GOOD, File("a.py", FILE, 996, b"1")) == ()
    assert reasons(*(File(f"{n}.py", FILE, 1, b"1") for n in range(11))) == ("the job has 11 files; 10 are allowed",)
    assert "is empty" in reasons()[0]


def test_hostile_names_cannot_flood_the_answer() -> None:
    said = reasons(*(File(f"{n}\x1b", FILE, 0, b"") for n in range(500)))
    assert len(said) == 21
    assert "\x1b" not in "".join(said)


def test_escaping_keeps_text_and_shows_what_hides() -> None:
    assert escape("a\tb\nZürich 数") == "a\tb\nZürich 数"
    assert escape("\x1b[2J\u202e\x07\x9b") == "<U+001B>[2J<U+202E><U+0007><U+009B>"
