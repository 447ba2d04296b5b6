"""What a requester asks for, judged by the site's policy: every reason quoted, with its remedy, all at once."""

import time
from collections.abc import Sequence

import pytest

from gitqueue.model import Limits
from gitqueue.refs import JobId
from gitqueue.rules import manifest
from gitqueue.rules.documents import Faulty
from gitqueue.rules.manifest import Manifest, command, granted, judge, read
from gitqueue.rules.policy import Asset, Dataset, Dependencies, Policy, parse_site

JOB = JobId("rachel", "bc-mean")
SITE = Policy(site="centre")
BC = Dataset(title="BC", assets={"features": Asset(mock="mock/features.csv")})
CATALOGUE = {"breast-cancer": BC, "lungs": BC}
FILES = ("job.yaml", "main.py", "requirements.txt", "lib/tool.py")
HASH = "--hash=sha256:" + "0a" * 32
FULL = b"""
name: Mean radius by diagnosis
description: |
  Group means of ten features.
  One CSV.
purpose: Paper X
project: {name: Breast Cancer ML Project, description: ML}
tags: [aggregate-analysis, statistics]
run: python main.py --by 'the diagnosis'
datasets: [breast-cancer]
environment: requirements.txt
outputs: [means.csv, "*.png", plots/*]
limits: {time: 5m, memory: 2GiB, cpus: 1}
"""


def job(text: str = "") -> Manifest:
    run = "" if "run:" in text else "run: python main.py\n"
    return read(JOB, f"name: x\n{run}{text}".encode(), None)


def faults(text: str = "", files: Sequence[str] = FILES, lock: str = "", policy: Policy = SITE) -> tuple[str, ...]:
    return judge(job(text), policy, CATALOGUE, files, lock.encode())


def refused(job_yaml: bytes | None, run_sh: bytes | None = None) -> tuple[str, ...]:
    with pytest.raises(Faulty) as caught:
        read(JOB, job_yaml, run_sh)
    return caught.value.reasons


# reading


def test_the_job_of_the_documentation_is_read_and_has_no_faults() -> None:
    asked = read(JOB, FULL, None)
    assert judge(asked, SITE, CATALOGUE, FILES, f"numpy==1.2 {HASH}".encode()) == ()
    assert command(asked) == ("python", "main.py", "--by", "the diagnosis")
    assert asked.group is not None
    assert asked.group.name == "Breast Cancer ML Project"


def test_a_project_may_be_a_bare_name_or_none() -> None:
    assert job("project: P").group == manifest.Project(name="P")
    assert job().group is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"name: x\nrun: a\ndataset: [b]", "unknown key 'dataset' at top level (did you mean 'datasets'?)"),
        (b"name: x\nrun: a\nlimits: {ram: 2}", "unknown key 'ram' in limits (known there: time, memory, cpus)"),
        (b"run: a", "key 'name' is missing at top level"),
        (b"name: x", "nothing is named to run; write `run: python main.py`, or `entrypoint: main.py:analyse` for a"),
        (b"name: x\nrun: a\noutputs: '*'", "outputs is '*'; wanted is a list, as in [a, b]"),
        (b"name: x\nrun: ''", "run is empty; name a program, as in python main.py"),
        (b"name: x\nrun: \"''\"", "run is empty; name a program, as in python main.py"),
        (b'name: x\nrun: python "main.py', "run is 'python \"main.py', which does not split into words: no closing"),
        (b"name: x\nrun: a\nlimits: {cpus: nan}", "limits.cpus is 'nan'; wanted is a number of cores, as in 2 or 0.5"),
    ],
)
def test_a_job_yaml_that_cannot_be_understood_is_refused_by_name(text: bytes, reason: str) -> None:
    (found,) = refused(text)
    assert found.startswith(f"jobs/rachel/bc-mean/job.yaml: {reason}")


def test_a_folder_without_job_yaml_and_run_sh_is_no_job() -> None:
    assert refused(None) == ("jobs/rachel/bc-mean holds neither job.yaml nor run.sh",)


def test_a_bare_run_sh_is_a_job_with_what_it_names_at_its_top() -> None:
    script = (
        b"#!/bin/sh\n# Means.\n#  Datasets: breast-cancer, lungs\r\n\n# datasets: more\nset -e\n# datasets: not-this\n"
    )
    asked = read(JOB, None, script)
    assert asked == Manifest(
        name="bc-mean", run="sh run.sh", datasets=("breast-cancer", "lungs", "more"), outputs=("*",)
    )
    assert command(asked) == ("sh", "run.sh")
    assert judge(asked, SITE, dict.fromkeys(asked.datasets, BC), ["run.sh"], None) == ()


@pytest.mark.parametrize("script", [b"", b"echo hello", b"# datasets:", b"# datasets: ,", b"echo '\n# datasets: a'"])
def test_a_bare_run_sh_that_names_no_data_gets_none(script: bytes) -> None:
    assert read(JOB, None, script).datasets == ()


def test_a_bare_run_sh_with_an_unknown_data_set_is_refused_like_any_job() -> None:
    asked = read(JOB, None, b"# datasets: lung \xff")
    assert [reason[:11].rstrip("'") for reason in judge(asked, SITE, CATALOGUE, ["run.sh"], None)] == [
        "dataset 'lu",
        "dataset '\ufffd",
    ]


def test_job_yaml_wins_over_run_sh() -> None:
    assert command(read(JOB, b"name: x\nrun: sh run.sh now", b"# datasets: a")) == ("sh", "run.sh", "now")


@pytest.mark.parametrize("run", ["", "'", "x" * 4001])
def test_a_command_that_cannot_be_split_is_never_handed_on(run: str) -> None:
    with pytest.raises(Faulty, match="run "):
        command(Manifest(name="x", run=run))
    assert judge(Manifest(name="x", run=run), SITE, {}, (), None) != ()


# limits


def test_a_job_gets_what_it_asks_for_and_else_what_policy_allows() -> None:
    assert granted(job("limits: {time: 5m}"), SITE) == Limits(
        time=300.0, memory=8 * 2**30, cpus=2, processes=128, output=50 * 2**20, output_files=100
    )
    asked = granted(job("limits: {memory: 1GiB, cpus: 0.5}"), SITE)
    assert (asked.time, asked.memory, asked.cpus) == (3600.0, 2**30, 0.5)
    assert type(asked.time) is float
    assert type(asked.memory) is int


def test_limits_above_the_sites_are_refused_and_equal_ones_are_not() -> None:
    assert faults("limits: {time: 1h, memory: 8GiB, cpus: 2}") == ()
    assert faults("limits: {time: 61m, memory: 9GiB, cpus: 2.5}") == (
        "limits.time is 61m; this site allows at most 1h",
        "limits.memory is 9GiB; this site allows at most 8GiB",
        "limits.cpus is 2.5; this site allows at most 2",
    )


# data sets, texts


def test_an_unknown_data_set_is_named_with_the_nearest_known_one() -> None:
    assert faults("datasets: [brest-cancer, lungs, xyz]") == (
        "dataset 'brest-cancer' is not in this site's catalogue (did you mean 'breast-cancer'?)",
        "dataset 'xyz' is not in this site's catalogue; `gitqueue datasets` lists what there is",
    )


def test_a_data_set_is_named_once() -> None:
    assert faults("datasets: [lungs, lungs, lungs]") == ("dataset 'lungs' is named twice; remove one",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("project: ' '", "project has no name; name it, or leave it out"),
        ('project: {name: "a\\nb"}', "project is 'a\\nb'; it must be one line without tabs"),
        ('project: {name: a, description: "\\u202e"}', "project.description holds the invisible character U+202E"),
        ('description: "a\\u2066b"', "description holds the invisible character U+2066; remove it"),
        (f"description: {'x' * 10_001}", "description has 10001 characters; at most 10000"),
        ('purpose: "\\e[31m"', "purpose holds the invisible character U+001B; remove it"),
        ('tags: ["a\\nb"]', "tag is 'a\\nb'; it must be one line without tabs"),
        (f"tags: [{'x' * 51}]", "tag has 51 characters; at most 50"),
        (f"tags: [{','.join('x' * 21)}]", "there are 21 tags; at most 20"),
        ("run: |\n  python main.py\n", "run is 'python main.py\\n'; it must be one line without tabs"),
        ('run: "python main.py \\u200b"', "run holds the invisible character U+200B; remove it"),
    ],
)
def test_a_text_that_would_mislead_its_reader_is_refused(text: str, reason: str) -> None:
    (found,) = faults(text)
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "name is empty; say in one line what the job is"),
        ("  ", "name is empty; say in one line what the job is"),
        ("a\nb", "name is 'a\\nb'; it must be one line without tabs"),
        ("x" * 201, "name has 201 characters; at most 200"),
    ],
)
def test_the_name_is_one_line(name: str, reason: str) -> None:
    assert judge(Manifest(name=name, run="true"), SITE, {}, (), None) == (reason,)


# run


@pytest.mark.parametrize(
    ("run", "named"),
    [
        ("python man.py", "'man.py', which is no file of the job (did you mean 'main.py'?)"),
        ("python3.11 -u man.py x", "'man.py', which is no file of the job (did you mean 'main.py'?)"),
        ("/usr/bin/python3 man.py", "'man.py', which is no file of the job (did you mean 'main.py'?)"),
        ("Rscript a.R", "'a.R', which is no file of the job; add it, or mend `run`"),
        ("./go", "'./go', which is no file of the job; add it, or mend `run`"),
        ("python ../main.py", "'../main.py', which is no file of the job (did you mean 'main.py'?)"),
        ("python /etc/x.py", "'/etc/x.py', which is no file of the job; add it, or mend `run`"),
    ],
)
def test_a_script_that_is_not_there_is_named(run: str, named: str) -> None:
    assert faults(f"run: {run}") == (f"run names {named}",)


@pytest.mark.parametrize(
    "run",
    [
        "python main.py",
        "python ./lib/tool.py",
        "./main.py",
        "python -c 'print(1)' a.py",
        "python -m tool a.py",
        "true",
        "python -W ignore main.py",
        "cat nothing.py",
        "'python' 'main.py'",
    ],
)
def test_what_is_there_or_not_clearly_a_file_of_the_job_passes(run: str) -> None:
    assert faults(f'run: "{run}"') == ()


@pytest.mark.parametrize(
    ("run", "sign"),
    [
        ("python main.py && echo", "'&&'"),
        ("python main.py > out.csv", "'>'"),
        ("python main.py | sort", "'|'"),
        ("python main.py $GITQUEUE_OUTPUT/x", "'$GITQUEUE_OUTPUT'"),
        ("python main.py ${GITQUEUE_DATA}/x", "'${GITQUEUE_DATA'"),
    ],
)
def test_what_only_a_shell_would_understand_is_told_apart(run: str, sign: str) -> None:
    assert faults(f"run: {run}") == (
        f"run holds {sign}, but no shell reads it; put the line into run.sh and write `run: sh run.sh`",
    )


@pytest.mark.parametrize("run", ["sh -c 'cat $GITQUEUE_DATA/x && true'", "awk -F '|' '{print}'", "python main.py a&b"])
def test_signs_inside_a_word_or_for_a_shell_pass(run: str) -> None:
    assert judge(Manifest(name="x", run=run), SITE, {}, FILES, None) == ()


# outputs


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("../x.csv", "output '../x.csv' leads out of its folder"),
        ("a/../../x.csv", "output 'a/../../x.csv' leads out of its folder"),
        ("/tmp/x.csv", "output '/tmp/x.csv' leads out of its folder"),
        ("-x.csv", "output '-x.csv' could be taken for an option"),
        (".git/x.csv", "output '.git/x.csv' is git's own"),
        ("a\x07.csv", "output 'a\\x07.csv' holds a backslash or an invisible character"),
        ("a\\b.csv", "output 'a\\\\b.csv' holds a backslash or an invisible character"),
        ("", "output '' has an empty or '.' part"),
        ("plots/", "output 'plots/' has an empty or '.' part"),
        ("*.exe", "output '*.exe': files .exe do not leave this site (.csv, .json, .txt, .md, .png, .npy, .html do)"),
        ("model.pkl", "output 'model.pkl': files .pkl do not leave this site"),
        ("a.csv/b.PKL", "output 'a.csv/b.PKL': files .pkl do not leave this site"),
        ("x.csv.gz", "output 'x.csv.gz': files .gz do not leave this site"),
    ],
)
def test_an_output_pattern_stays_in_its_folder_and_names_a_type_that_may_leave(pattern: str, reason: str) -> None:
    (found,) = judge(Manifest(name="x", run="true", outputs=(pattern,)), SITE, {}, FILES, None)
    assert found.startswith(reason)


def test_honest_output_patterns_pass() -> None:
    assert faults("outputs: ['*', '*.csv', means.csv, plots/*.png, MEANS.CSV, '*.*', 'a.[cj]s*', result]") == ()


def test_a_job_declares_at_most_a_hundred_patterns() -> None:
    many = Manifest(name="x", run="true", outputs=("*",) * 101)
    assert judge(many, SITE, {}, (), None) == ("there are 101 outputs; at most 100, patterns such as *.csv help",)


# environment


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../requirements.txt", "environment '../requirements.txt' leads out of its folder"),
        ("/etc/requirements.txt", "environment '/etc/requirements.txt' leads out of its folder"),
        ("requirement.txt", "environment 'requirement.txt' is no file of the job (did you mean 'requirements.txt'?)"),
        ("zzz", "environment 'zzz' is no file of the job; add it, or leave `environment` out"),
    ],
)
def test_the_environment_is_a_file_of_the_job(path: str, reason: str) -> None:
    assert faults(f"environment: {path}")[0].startswith(reason)


def test_an_environment_that_nobody_could_read_is_refused() -> None:
    asked = job("environment: requirements.txt")
    reason = ("requirements.txt cannot be read; it is a text of at most 2 MiB",)
    assert judge(asked, SITE, CATALOGUE, FILES, None) == reason
    assert judge(asked, SITE, CATALOGUE, FILES, b"#" * (2 * 2**20 + 1)) == reason


def locked(lock: str, policy: str = "locked", allow: tuple[str, ...] = Dependencies().allow) -> tuple[str, ...]:
    site = Policy(site="a", dependencies=Dependencies(policy=policy, allow=allow))  # type: ignore[arg-type]
    return faults("environment: requirements.txt", lock=lock, policy=site)


def test_a_site_without_packages_refuses_every_environment() -> None:
    assert locked("", "none") == (
        "environment 'requirements.txt': this site installs no packages; leave `environment` out",
    )
    assert faults(policy=Policy(site="a", dependencies=Dependencies(policy="none"))) == ()


UV = f"""# This file was autogenerated by uv via the following command:
#    uv pip compile --generate-hashes requirements.in
numpy==2.4.6 ; python_full_version < '3.12' \\
    {HASH} \\
    {HASH}
    # via
    #   -r requirements.in
    #   pandas
pandas[excel]==3.1.1 \\
    {HASH}
    # via -r requirements.in
Python.Dateutil == 2.9.0.post0 {HASH}  # via pandas
"""


@pytest.mark.parametrize("lock", [UV, UV.replace("\n", "\r\n"), "", "\n# nothing\n", f"scipy==1!2.0+cpu {HASH}"])
def test_a_lock_as_uv_writes_it_passes(lock: str) -> None:
    assert locked(lock) == ()


ODD = "is not understood; a line holds name==version, a marker and sha256 hashes, no option, URL or path"
NO_VERSION = "has no exact version; this site asks for a lock, which `gitqueue check --fix` writes"
NO_HASH = "has no hash; this site asks for a lock, which `gitqueue check --fix` writes"
MARKER = "has a marker that is not understood, unlike ; python_version < '3.12'"
SMUGGLED = [
    "-r other.txt",
    "-e .",
    "-c x.txt",
    "--index-url https://evil.example",
    "--extra-index-url=https://evil.example",
    "--find-links .",
    "--trusted-host evil.example",
    "--no-binary :all:",
    "git+https://evil.example/numpy",
    "https://evil.example/numpy.whl",
    "numpy @ https://evil.example/numpy.whl",
    "./numpy",
    "../numpy.whl",
    "/numpy",
    "file:numpy.whl",
    f"numpy==1.2 {HASH} --index-url=https://evil.example",
    f"numpy==1.2 --global-option=x {HASH}",
    f"numpy==1.2 {HASH} pandas==1",
    f"numpy==1.2 {HASH}0",
    f"numpy==1.2 {HASH[:-1]}",
    f"numpy==1.2 {HASH.upper()}",
    "numpy==1.2 --hash=md5:" + "0" * 32,
    f"numpy==1.2 {HASH} \\ ",
    f"numpy==1.2 \\\n# a comment amid a line \\\n{HASH}",
    f"numpy==1.2 # hidden \\\n{HASH}",
    f"numpy===1.2 {HASH}",
    f"numpy==${{VERSION}} {HASH}",
    f"num\\\npy==1.2 {HASH}",
    f"nümpy==1.2 {HASH}",
    HASH,
]


@pytest.mark.parametrize("policy", ["locked", "any"])
@pytest.mark.parametrize("lock", SMUGGLED)
def test_options_urls_paths_and_index_settings_are_refused_under_every_policy(lock: str, policy: str) -> None:
    assert any(found.endswith(ODD) for found in locked(lock, policy)), locked(lock, policy)


@pytest.mark.parametrize("marker", ["", " ", "x -r other", "# x", "a; b", "'${X}'", "a\\b"])
@pytest.mark.parametrize("policy", ["locked", "any"])
def test_a_marker_holds_nothing_but_a_marker(marker: str, policy: str) -> None:
    (found,) = locked(f"numpy==1.2 ;{marker} {HASH}", policy)
    assert found.endswith(MARKER)


@pytest.mark.parametrize("gap", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\0"])
def test_a_line_end_that_only_some_programs_know_is_refused(gap: str) -> None:
    assert locked(f"# harmless{gap}--index-url https://evil.example") == (
        f"requirements.txt holds the invisible character U+{ord(gap):04X}; remove it",
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"numpy {HASH}", NO_VERSION),
        (f"numpy>=1.2 {HASH}", NO_VERSION),
        (f"numpy==1.2,==1.2 {HASH}", NO_VERSION),
        (f"numpy==1.* {HASH}", NO_VERSION),
        ("numpy", NO_VERSION),
        ("numpy==1.2", NO_HASH),
        ("numpy==1.2 # --hash=sha256:" + "0" * 64, NO_HASH),
    ],
)
def test_a_lock_pins_every_package_by_version_and_hash(line: str, reason: str) -> None:
    shown = line.partition(" #")[0]
    assert locked(f"\n# first\n{line}\n") == (f"requirements.txt line 3: {manifest.quote(shown)} {reason}",)


def test_a_package_off_the_list_is_refused_whatever_its_comment_claims() -> None:
    (found,) = locked(f"Evil_Pkg==1.2 {HASH} # via pandas")
    assert found.startswith("requirements.txt line 1: 'Evil_Pkg==1.2 --hash=sha256:0a")
    assert found.endswith(
        "is not allowed here (numpy, pandas, scipy, scikit-learn, matplotlib are); ask an owner to allow 'evil-pkg'"
    )


@pytest.mark.parametrize(
    ("allow", "name", "passes"),
    [
        (("pandas",), "numpy", True),
        (("Pandas",), "tzdata", True),
        (("pandas",), "python_dateutil", True),
        (("pandas",), "scipy", False),
        (("scikit_learn",), "joblib", True),
        (("scikit-learn",), "scipy", True),
        (("numpy",), "six", False),
        (("my-own.pkg",), "My_Own-Pkg", True),
        ((), "numpy", False),
    ],
)
def test_an_allowed_package_brings_its_companions_and_no_others(
    allow: tuple[str, ...], name: str, passes: bool
) -> None:
    assert (locked(f"{name}==1 {HASH}", allow=allow) == ()) is passes


def test_the_default_list_allows_all_that_a_lock_of_it_holds() -> None:
    """As uv 0.13 resolved it for Python 3.11; six and pytz were there before pandas 3."""
    names = "cloudpickle contourpy cycler fonttools joblib kiwisolver matplotlib narwhals numpy packaging pandas pillow"
    names += " pyparsing python-dateutil scikit-learn scipy threadpoolctl tzdata six pytz"
    assert locked("\n".join(f"{name}==1 {HASH}" for name in names.split())) == ()


@pytest.mark.parametrize(
    "line", ["requests", "numpy==1.2", "numpy>=1,<2", "numpy ~= 1.2", "numpy==1.*", "numpy[x,y]>1 ; os_name == 'nt'"]
)
def test_a_site_that_takes_any_package_takes_plain_lines(line: str) -> None:
    assert locked(line, "any") == ()
    assert locked(f"{line} {HASH}", "any") == ()


@pytest.mark.parametrize("policy", ["locked", "any"])
def test_a_last_line_that_promises_another_is_judged_too(policy: str) -> None:
    assert locked(f"numpy==1.2 {HASH} \\", policy) == ()
    assert locked("--index-url https://evil.example \\", policy)[0].endswith(ODD)


# all at once, and bounded


def test_the_largest_that_is_allowed_passes() -> None:
    asked = Manifest(name="x" * 200, run="a" * 4000, tags=("t" * 50,) * 20, outputs=("*",) * 100)
    assert judge(asked, SITE, {}, (), None) == ()
    assert judge(job("environment: requirements.txt"), SITE, {}, FILES, b"#" * (2 * 2**20)) == ()


def test_every_reason_is_told_at_once() -> None:
    text = "run: python x.py | y\ndatasets: [x]\nenvironment: q\noutputs: [/x]\nlimits: {cpus: 3}\ntags: ['\t']"
    assert [reason.split()[0] for reason in faults(text.replace("'\t'", '"\\t"'))] == [
        "tag",
        "run",
        "run",
        "dataset",
        "environment",
        "output",
        "limits.cpus",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "datasets: [" + "breast-cance, " * 15000 + "]",
        "outputs: [" + "../x, " * 30000 + "]",
        "run: " + "x" * 250000,
        "tags: [" + ",".join(f"t{n}" for n in range(25000)) + "]",
    ],
)
def test_a_hostile_manifest_costs_little(text: str) -> None:
    began = time.process_time()
    try:
        assert len(faults(text)) <= 51
    except Faulty as error:
        assert len(error.reasons) == 1  # noqa: PT017 - either way is an answer
    assert time.process_time() - began < 1.5


@pytest.mark.parametrize(
    "lock",
    [
        "a==1;" + " " * 10**6 + "%",
        "a==1" + " " * 10**6 + "x",
        "a-" * 10**6,
        "a==1," * 300000,
        "a" + " [" * 10**6,
        "x\n" * 10**6,
        "\\\n" * 10**6,
        "a==" + "1." * 800000 + "$",
    ],
)
def test_a_hostile_lock_costs_little(lock: str) -> None:
    began = time.process_time()
    assert 0 < len(locked(lock)) <= 51
    assert time.process_time() - began < 1.5


def test_the_sites_own_types_and_limits_are_what_counts() -> None:
    site = parse_site(b"site: a\noutputs: {types: [.pkl]}\nlimits: {time: 2h}")
    assert faults("outputs: ['*.pkl']\nlimits: {time: 2h}", policy=site) == ()
    assert len(faults("outputs: ['*.csv']\nlimits: {time: 3h}", policy=site)) == 2


# functions

FUNCTION = "entrypoint: main.py:analyse\ninputs: {features: breast-cancer/features}\ndatasets: [breast-cancer]\n"


def function(text: str) -> Manifest:
    return read(JOB, f"name: x\n{text}".encode(), None)


def test_a_function_of_a_file_is_a_job_whose_results_may_leave() -> None:
    asked = function(FUNCTION)
    assert judge(asked, SITE, CATALOGUE, FILES, None) == ()
    assert command(asked) == ("python", "/opt/gitqueue/entry.py", "main.py:analyse")
    assert asked.outputs == ("result.*", "result-*.*")
    assert function(FUNCTION + "outputs: [result.csv]").outputs == ("result.csv",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("run: a\nentrypoint: main.py:f", "run and entrypoint are both there; name a program or a function, and"),
        ("run: a\ninputs: {x: lungs/features}", "inputs are a function's parameters; name it in `entrypoint`, or"),
        (
            "entrypoint: main.py",
            "entrypoint is 'main.py'; write a Python file of the job and its function, as main.py:",
        ),
        ("entrypoint: ''", "entrypoint is ''; write a Python file"),
        ("entrypoint: main.R:f", "entrypoint is 'main.R:f'; write a Python file"),
        ("entrypoint: 'main.py:'", "entrypoint names the function '', which is no Python name"),
        ("entrypoint: 'main.py:f()'", "entrypoint names the function 'f()', which is no Python name"),
        ("entrypoint: main.py:lambda", "entrypoint names the function 'lambda', which is no Python name"),
        ("entrypoint: main.py:аnalyse", "which is no Python name"),
    ],
)
def test_what_names_no_function_is_refused_when_read(text: str, reason: str) -> None:
    (said,) = refused(f"name: x\n{text}".encode())
    assert said.startswith("jobs/rachel/bc-mean/job.yaml: ")
    assert reason in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("entrypoint: /etc/main.py:f", "entrypoint '/etc/main.py' leads out of its folder"),
        ("entrypoint: ../main.py:f", "entrypoint '../main.py' leads out of its folder"),
        ("entrypoint: lib/../../main.py:f", "entrypoint 'lib/../../main.py' leads out of its folder"),
        ("entrypoint: mian.py:f", "entrypoint names 'mian.py', which is no file of the job (did you mean 'main.py'?)"),
        (
            "entrypoint: main.py:f\ninputs: {x: lungs/features}",
            "inputs.x is 'lungs/features', but `datasets` does not name lungs; add it there",
        ),
        (
            "entrypoint: main.py:f\ndatasets: [lungs]\ninputs: {x: lungs/feature}",
            "inputs.x is 'lungs/feature', which is no asset of this site (did you mean 'lungs/features'?)",
        ),
        (
            "entrypoint: main.py:f\ninputs: {x: hearts}",
            "inputs.x is 'hearts', which is no asset of this site; `gitqueue",
        ),
        (
            "entrypoint: main.py:f\ndatasets: [lungs]\ninputs: {'x y': lungs/features}",
            "inputs names the parameter 'x y', which is no Python name; write it as in the function",
        ),
    ],
)
def test_a_function_and_its_inputs_are_of_the_job_and_of_the_site(text: str, reason: str) -> None:
    (said,) = judge(function(text), SITE, CATALOGUE, FILES, None)
    assert reason in said
