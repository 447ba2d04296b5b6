"""Reading what people write: every fault named at once, nothing guessed, nothing hostile survived by luck."""

import datetime
import time
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
import pytest

from gitqueue.rules import documents
from gitqueue.rules.documents import Bytes, Faulty, Seconds, duration, parse, path_faults, size, text_faults


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    time: Seconds = Seconds(60)
    memory: Bytes | None = None
    cpus: Annotated[float, msgspec.Meta(gt=0, description="cores")] = 1


class Doc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    count: int = 1
    datasets: tuple[str, ...] = ()
    limits: Inner = Inner()
    since: datetime.date | None = msgspec.field(default=None, name="from")
    mode: Literal["auto", "review"] = "auto"
    project: str | Inner | None = None
    people: Mapping[str, Inner] = msgspec.field(default_factory=dict)
    remote: None = None
    extra: Inner | None = None


def reasons(text: str | bytes, kind: type = Doc) -> tuple[str, ...]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(Faulty) as caught:
        parse(data, kind, "job.yaml")
    return caught.value.reasons


def read(text: str) -> Doc:
    return parse(text.encode(), Doc, "job.yaml")


def test_a_document_becomes_a_typed_frozen_value() -> None:
    doc = read("name: x\ncount: 3\ndatasets: [a, b]\nlimits: {time: 5m, memory: 2GiB, cpus: 0.5}\nfrom: 2026-01-31\n")
    assert (doc.name, doc.count, doc.datasets) == ("x", 3, ("a", "b"))
    assert doc.limits == Inner(time=Seconds(300), memory=Bytes(2**31), cpus=0.5)
    assert doc.since == datetime.date(2026, 1, 31)
    with pytest.raises(AttributeError):
        doc.name = "y"  # type: ignore[misc]


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "1.10", "010", "1:30", "1e3", "2026-01-01", "0x1F", "true", "1_000"]
)
def test_a_text_stays_the_text_that_was_written(word: str) -> None:
    doc = read(f"name: {word}\ndatasets: [{word}]\nproject: {word}")
    assert (doc.name, doc.datasets, doc.project) == (word, (word,), word)


@pytest.mark.parametrize("word", ["1e3", "0x10", "010", "1_000", "5.0", "1:30", "yes", " ", "٥", "9" * 19])
def test_a_whole_number_is_digits_and_nothing_else(word: str) -> None:
    assert reasons(f"name: x\ncount: '{word}'") == (f"job.yaml: count is {word!r}; wanted is a whole number in digits",)


@pytest.mark.parametrize("word", ["nan", "inf", "1e3", "0", "-1", ".5", "1:30"])
def test_a_number_is_finite_and_in_its_range(word: str) -> None:
    assert reasons(f"name: x\nlimits: {{cpus: {word}}}") == (f"job.yaml: limits.cpus is {word!r}; wanted is cores",)


@pytest.mark.parametrize("word", ["2026-1-1", "2026-02-30", "20260101", "2026-01-01 10:00", "1700000000", "soon"])
def test_a_date_is_a_whole_day_of_the_calendar(word: str) -> None:
    assert reasons(f"name: x\nfrom: {word}") == (f"job.yaml: from is {word!r}; wanted is a date, as in 2026-01-31",)


@pytest.mark.parametrize("nothing", ["", "~", "null", "Null", "NULL"])
def test_an_empty_value_is_nothing_and_no_text(nothing: str) -> None:
    assert read(f"name: x\nproject: {nothing}\nremote: {nothing}").project is None
    assert reasons(f"name: {nothing}") == ("job.yaml: name is empty; wanted is text",)


def test_quotes_make_a_text_of_what_would_be_nothing() -> None:
    assert read("name: 'null'\nproject: ''").name == "null"
    assert read("name: 'null'\nproject: '~'").project == "~"


def test_an_unknown_key_is_named_with_the_nearest_known_one() -> None:
    assert reasons("name: x\ndataset: [a]") == (
        "job.yaml: unknown key 'dataset' at top level (did you mean 'datasets'?)",
    )
    assert reasons("name: x\nlimits: {tme: 5m}") == ("job.yaml: unknown key 'tme' in limits (did you mean 'time'?)",)
    assert reasons("name: x\npeople: {ann: {cpu: 1}}") == (
        "job.yaml: unknown key 'cpu' in people.ann (did you mean 'cpus'?)",
    )


def test_an_unknown_key_like_no_other_is_told_all_that_are_known_there() -> None:
    assert reasons("name: x\nlimits: {zzz: 1}") == (
        "job.yaml: unknown key 'zzz' in limits (known there: time, memory, cpus)",
    )


def test_every_fault_is_reported_at_once_with_its_path() -> None:
    text = (
        "nam: x\ncount: many\ndatasets: [a, [b], {c: d}]\nlimits: {time: 5, memory: 2G}\nmode: fast\nproject: {time: x}"
    )
    assert reasons(text) == (
        "job.yaml: unknown key 'nam' at top level (did you mean 'name'?)",
        "job.yaml: key 'name' is missing at top level",
        "job.yaml: count is 'many'; wanted is a whole number in digits",
        "job.yaml: datasets[1] is a list; wanted is text",
        "job.yaml: datasets[2] is a mapping; wanted is text",
        "job.yaml: limits.time is '5'; wanted is a time with its unit, as in 30s, 5m, 1h or 90d",
        "job.yaml: limits.memory is '2G'; wanted is a size with its unit, as in 10kB, 50MiB or 2GiB",
        "job.yaml: mode is 'fast'; wanted is auto or review",
        "job.yaml: project.time is 'x'; wanted is a time with its unit, as in 30s, 5m, 1h or 90d",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty; wanted is a mapping, `key: value`"),
        ("# only a comment", "the file is empty; wanted is a mapping, `key: value`"),
        ("- a", "the file is a list; wanted is a mapping, `key: value`"),
        ("hello", "the file is 'hello'; wanted is a mapping, `key: value`"),
        ("name: x\nlimits: 3", "limits is '3'; wanted is a mapping, `key: value`"),
        ("name: x\nlimits:", "limits is empty; wanted is a mapping, `key: value`"),
        ("name: x\npeople: [a]", "people is a list; wanted is a mapping, `key: value`"),
        ("name: x\ndatasets: a", "datasets is 'a'; wanted is a list, as in [a, b]"),
        ("name: x\ndatasets: {a: b}", "datasets is a mapping; wanted is a list, as in [a, b]"),
        ("name: x\nremote: y", "remote is 'y'; wanted is null: nothing else is understood yet"),
        ("name: x\nproject: [a]", "project is a list; wanted is text"),
        ("name: x\nextra: a", "extra is 'a'; wanted is a mapping, `key: value`"),
        ("name: x\nfrom: {a: b}", "from is a mapping; wanted is a date, as in 2026-01-31"),
    ],
)
def test_a_wrong_shape_is_told_what_is_wanted(text: str, reason: str) -> None:
    assert reasons(text) == (f"job.yaml: {reason}",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: x\nname: y", "line 2: duplicate key 'name'; remove one"),
        ("name: x\n'name': y", "line 2: duplicate key 'name'; remove one"),
        ("name: x\nlimits: {cpus: 1, cpus: 1}", "line 2: duplicate key 'cpus'; remove one"),
        ("name: &a x", "line 1: anchor '&a'; write values out where they are used"),
        ("&a name: x", "line 1: anchor '&a'; write values out where they are used"),
        ("name: !!python/object/apply:os.system [id]", "line 1: tag '!!python/object/apply:os.system'; tags are not"),
        ("name: !!str x", "line 1: tag '!!str'; tags are not read, remove it"),
        ("name: ! x", "line 1: tag '!'; tags are not read, remove it"),
        ("--- !<tag:x> {}", "line 1: tag 'tag:x'; tags are not read, remove it"),
        ("name: x\n<<: {count: 2}", "line 2: merge key '<<'; write the values out"),
        ("[a, b]: c", "line 1: a key is not text; write a plain word before the colon"),
        ("? {a: b}\n: c", "line 1: a key is not text; write a plain word before the colon"),
        ("name: x\n---\nname: y", "line 3: a second document begins; a file holds one"),
        ('name: "a\\0b"', "line 1: 'a\\x00b' holds a NUL or half a character; remove it"),
        ('"a\\0": b', "line 1: 'a\\x00' holds a NUL or half a character; remove it"),
        ("name: x\0", "cannot be read: unacceptable character"),
        ("name: [", "line 2, column 1: not YAML: did not find expected node content"),
        ("name: x\n\tcount: 1", "line 2, column 1: not YAML: found a tab character"),
    ],
)
def test_what_yaml_could_hide_is_refused_with_its_line(text: str, reason: str) -> None:
    assert any(found.startswith(f"job.yaml: {reason}") for found in reasons(text)), reasons(text)


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    assert "job.yaml: line 2: alias '*a'; write the value out" in reasons(bomb)


def test_faults_of_structure_are_reported_together() -> None:
    assert len(reasons("a: &x 1\nb: *x\nc: !t 2\nc: 3")) == 4


def test_bytes_that_are_not_utf_8_are_named() -> None:
    assert reasons(b"name: \xff") == ("job.yaml: byte 7 is not UTF-8; save the file as UTF-8",)
    assert "not UTF-8" in reasons("name: x".encode("utf-16"))[0]


def test_a_byte_order_mark_from_windows_does_no_harm() -> None:
    assert parse(b"\xef\xbb\xbfname: x\r\ncount: 2\r\n", Doc, "job.yaml") == Doc(name="x", count=2)


def test_256_kib_are_read_and_not_a_byte_more() -> None:
    most = b"name: x\n#".ljust(documents.SIZE, b"x")
    assert parse(most, Doc, "job.yaml").name == "x"
    assert reasons(most + b"x") == ("job.yaml: 262145 bytes; at most 262144 (256 KiB) are read",)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 40_000, "- " * 100_000, "? " * 100_000, "a: " + "[a," * 80_000]
)
def test_deep_nesting_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    (reason,) = reasons(text)
    assert "line 1 is nested deeper than 16" in reason or "exceeded maximum nesting depth" in reason  # libyaml's own
    assert time.process_time() - began < 1


def test_sixteen_levels_are_read() -> None:
    assert reasons("[" * 16 + "x" + "]" * 16) == ("job.yaml: the file is a list; wanted is a mapping, `key: value`",)
    assert "nested deeper" in reasons("[" * 17 + "x" + "]" * 17)[0]


def test_an_answer_is_bounded_whatever_was_sent() -> None:
    began = time.process_time()
    found = reasons("".join(f"k{number}: x\n" for number in range(20_000)))
    assert (len(found), found[-1]) == (documents.MOST + 1, "job.yaml: and more: mend these first")
    assert time.process_time() - began < 2


def test_fifty_reasons_are_given_in_full() -> None:
    assert documents.capped("x" * 50) == ("x",) * 50
    assert documents.capped("x" * 51) == (*"x" * 50, "and more: mend these first")


def test_a_quoted_merge_sign_is_a_key_like_any_other() -> None:
    assert reasons("name: x\n'<<': y")[0].startswith("job.yaml: unknown key '<<' at top level")


def test_a_quoted_value_is_short_and_harmless_to_a_terminal() -> None:
    assert len(reasons("name: x\ncount: " + "9" * 5000)[0]) < 150
    assert documents.quote("x" * 60) == repr("x" * 60)
    assert documents.quote("x" * 61) == repr("x" * 59 + "…")
    assert "\x1b" not in reasons('name: x\n"\\e[31m": 1')[0]
    assert "\u202e" not in reasons("name: x\npeople: {'a\u202eb': {cpus: x}}")[0]


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("90d", 7_776_000), ("1.5h", 5400), ("0.5s", 0.5)]
)
def test_a_time_is_read_in_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1B", 1),
        ("10kB", 10000),
        ("1KiB", 1024),
        ("50MiB", 50 * 2**20),
        ("2GiB", 2**31),
        ("1.5GiB", 3 * 2**29),
        ("1MB", 10**6),
        ("1GB", 10**9),
        ("1TB", 10**12),
        ("1TiB", 2**40),
        ("2 GiB", 2**31),
    ],
)
def test_a_size_is_read_in_bytes(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "5", "m", "5M", "-5m", "0m", "1:30", "5m5s", "1e3s", "٥m", "5mm", "999999999d9"])
def test_what_is_no_time_is_quoted(text: str) -> None:
    with pytest.raises(Faulty) as caught:
        duration(text)
    assert caught.value.reasons == (f"{text!r} is not a time with its unit, as in 30s, 5m, 1h or 90d",)


@pytest.mark.parametrize("text", ["", "5", "2G", "2gib", "-1B", "0B", "0.5B", "1.0001kB", "999999999TiB", "1 m", "5m"])
def test_what_is_no_size_is_quoted(text: str) -> None:
    with pytest.raises(Faulty) as caught:
        size(text)
    assert caught.value.reasons == (f"{text!r} is not a size with its unit, as in 10kB, 50MiB or 2GiB",)


@pytest.mark.parametrize("text", ["30s", "5m", "90m", "1h", "90d", "0.5s"])
def test_a_time_prints_as_it_is_best_read_and_reads_back(text: str) -> None:
    assert f"{duration(text)}" == text


@pytest.mark.parametrize("text", ["1B", "10kB", "1KiB", "50MiB", "2GiB", "1536MiB", "1025B", "1TB"])
def test_a_size_prints_as_it_is_best_read_and_reads_back(text: str) -> None:
    assert str(size(text)) == text


def test_times_and_sizes_are_numbers_to_all_others() -> None:
    assert (duration("5m") * 2, size("1KiB") + 1) == (600, 1025)
    assert msgspec.json.encode({"time": float(duration("5m")), "memory": int(size("1KiB"))}) == (
        b'{"time":300.0,"memory":1024}'
    )


@pytest.mark.parametrize(
    ("text", "lines", "reason"),
    [
        ("x" * 11, False, "name has 11 characters; at most 10"),
        ("a\nb", False, "name is 'a\\nb'; it must be one line without tabs"),
        ("a\tb", False, "name is 'a\\tb'; it must be one line without tabs"),
        ("a\x1b[0m", True, "name holds the invisible character U+001B; remove it"),
        ("a\rb", True, "name holds the invisible character U+000D; remove it"),
        ("a\u202eb", True, "name holds the invisible character U+202E; remove it"),
        ("a\u2066b", False, "name holds the invisible character U+2066; remove it"),
        ("a\u200bb", True, "name holds the invisible character U+200B; remove it"),
        ("a\u2028b", True, "name holds the invisible character U+2028; remove it"),
        ("a\U000e0041", True, "name holds the invisible character U+E0041; remove it"),
    ],
)
def test_a_text_that_would_mislead_its_reader_is_refused(text: str, lines: bool, reason: str) -> None:
    assert tuple(text_faults("name", text, 10, lines)) == (reason,)


@pytest.mark.parametrize("text", ["", "é ü 中", "x" * 10, "👩‍🔬", "می‌خواهم"])
def test_honest_text_of_any_language_passes(text: str) -> None:
    assert tuple(text_faults("name", text, 10)) == ()
    assert tuple(text_faults("name", "a\n\tb", 10, lines=True)) == ()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/etc/passwd", "leads out of its folder"),
        ("../x", "leads out of its folder"),
        ("a/../../x", "leads out of its folder"),
        ("a/..", "leads out of its folder"),
        ("", "has an empty or '.' part"),
        ("a//b", "has an empty or '.' part"),
        ("a/", "has an empty or '.' part"),
        ("./a", "has an empty or '.' part"),
        (".git/config", "is git's own"),
        ("a/.GIT", "is git's own"),
        (".gitattributes", "is git's own"),
        ("-rf", "could be taken for an option"),
        ("a/-rf", "could be taken for an option"),
        ("a\nb", "holds a backslash or an invisible character"),
        ("a\\b", "holds a backslash or an invisible character"),
        ("a\u202eb", "holds a backslash or an invisible character"),
        ("é" * 121, "is longer than 240 bytes"),
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str, reason: str) -> None:
    (found,) = path_faults("output", path)
    assert found.startswith(f"output {documents.quote(path)} {reason}")


@pytest.mark.parametrize("path", ["a.csv", "*.png", "a/b-c/*.csv", "é" * 120, "a..b", "x.git", "a b"])
def test_a_path_inside_its_folder_passes(path: str) -> None:
    assert tuple(path_faults("output", path)) == ()
