"""The whole story of a site, played in a fresh folder: `make demo`, or `python examples/demo.py FOLDER`.

Everything that is shown was typed by somebody: plain git and gitqueue's own commands, each person with a home, a key
and a clone of their own. Nothing is faked; a line that fails ends the demo, with what it said and a code that is not 0.
"""

import argparse
import csv
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
WIDTH = 80
PATIENCE = 90.0  # seconds that a result may take, the first build of its environment included
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


class Stopped(Exception):
    """Something did not go as the story says."""


# --- how it looks ----------------------------------------------------------------------------------------------------

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
BOLD, GREEN, CYAN = "1", "32", "36"


def paint(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOUR and text else text


def out(text: str = "") -> None:
    print(text, flush=True)


def scene(title: str) -> None:
    out()
    out(paint(f"== {title} ".ljust(WIDTH, "="), BOLD))


def tell(*paragraphs: str) -> None:
    for paragraph in paragraphs:
        out()
        out(textwrap.fill(" ".join(paragraph.split()), WIDTH))


def typed(who: str, lines: Iterable[str]) -> None:
    out()
    for line in lines:
        first, *more = line.split("\n")
        out(paint(f"{who}$ ", GREEN) + paint(first, BOLD))
        for rest in more:
            out(" " * (len(who) + 2) + paint(rest, BOLD))


def printed(lines: Iterable[str]) -> None:
    """What a command printed, indented, and folded where it is wider than the screen."""
    for line in re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).splitlines():
        hang = " " * (4 + len(line) - len(line.lstrip()))
        for part in textwrap.wrap(line, WIDTH - 2, subsequent_indent=hang) or [""]:
            out(paint(f"  {part}".rstrip(), CYAN))


# --- people, and what they type --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """Somebody with a home of their own below `base`, who types in `folder` of it."""

    name: str
    base: Path
    folder: str = "."

    @property
    def home(self) -> Path:
        return self.base / self.name

    def types(self, *lines: str, hide: str = "$.^") -> str:
        """Print the lines, run them in one bash, print what it printed but for lines like `hide`, and hand it back."""
        typed(self.name, lines)
        said = self.runs("\n".join(lines))
        printed(line for line in said.splitlines() if not re.search(hide, line))
        return said

    def runs(self, script: str) -> str:
        """Run a script unseen; what it said on both channels. Raises Stopped where it fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.home / self.folder,
            env=environment(self.home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if done.returncode:
            raise Stopped(f"{self.name}'s line ended with {done.returncode}:\n{script}\n\n{done.stdout.rstrip()}")
        return "\n".join(line.rstrip() for line in done.stdout.splitlines())


def environment(home: Path) -> Mapping[str, str]:
    """The machine's, but another home, this gitqueue first on the path, and nobody else's git settings."""
    foreign = ("GIT_", "GITQUEUE_", "SSH_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {"HOME": str(home), "PATH": f"{BIN}:{kept.get('PATH', os.defpath)}", "GIT_CONFIG_NOSYSTEM": "1"}
    return {**kept, **own, "GIT_PAGER": "cat", "LC_ALL": "C.UTF-8", "COLUMNS": str(WIDTH - 2)}


@dataclass(frozen=True)
class Stage:
    """Where it is played, and by whom: each person at home, and at their desk, which is their clone of the site."""

    base: Path

    @property
    def owen(self) -> Person:
        return Person("owen", self.base)

    @property
    def rachel(self) -> Person:
        return Person("rachel", self.base)

    @property
    def owens_desk(self) -> Person:
        return replace(self.owen, folder="desk")

    @property
    def rachels_desk(self) -> Person:
        return replace(self.rachel, folder="desk")


# --- before the curtain ----------------------------------------------------------------------------------------------

AS = """\
#!/bin/bash
# ./as owen            a shell as owen, in his clone of the site
# ./as rachel git log  one command, as rachel in hers
here=$(cd "$(dirname "$0")" && pwd)
who=${{1:?owen or rachel}}
shift
unset "${{!GIT_@}}"
export HOME=$here/$who PATH={path}:$PATH PS1="$who\\$ "
cd "$HOME/desk" || exit
[ $# -gt 0 ] || set -- bash --norc
exec "$@"
"""


def set_up(base: Path) -> Stage:
    """Two homes, the real data, and a way to step into the story afterwards."""
    stage = Stage(base)
    for person in (stage.owen, stage.rachel):
        (person.home / ".ssh").mkdir(mode=0o700, parents=True)
        # Environments that `gitqueue test` has built are kept from one demo to the next, as in anybody's home.
        (person.home / ".cache").symlink_to(Path.home() / ".cache")
    (base / "examples").symlink_to(EXAMPLES)
    (base / "as").write_text(AS.format(path=shlex.quote(str(BIN))))
    (base / "as").chmod(0o755)
    write_data(stage.owen.home / "data")
    return stage


def environments() -> list[Path]:
    """The two environments of the story, `accuracy` and `bc-mean`, built where `gitqueue test` looks for them."""
    from gitqueue.adapters.environment import build

    cache = Path("/var/cache/gitqueue") if os.geteuid() == 0 else Path.home() / ".cache" / "gitqueue"
    cache.mkdir(mode=0o711, parents=True, exist_ok=True)
    locks = [EXAMPLES / "jobs" / job / "requirements.txt" for job in ("accuracy", "bc-mean")]
    return [build(lock.read_bytes(), PYTHONS, cache / "environments").path for lock in locks]


def write_data(folder: Path) -> None:
    """scikit-learn ships the data, and the first request's environment holds it."""
    python = environments()[0] / "bin" / "python"
    script = EXAMPLES / "breast-cancer" / "make_data.py"
    subprocess.run([python, "-B", script, folder], check=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"})


def lend(site: Path) -> None:
    """The site keeps environments of its own, by content; it gets these two, so that nothing is built twice here."""
    for built in environments():
        shutil.copytree(built.parent, site / "spool" / "environments" / built.parent.name, True, copy_function=linked)


def linked(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)


def able() -> tuple[str, ...]:
    """Why no job could run on this machine, each reason with its remedy."""
    from gitqueue.adapters import sandbox
    from gitqueue.steps.operate import SANDBOX_USER, make_user

    if os.geteuid() != 0:
        return sandbox.problems(None, None)
    make_user()
    account = pwd.getpwnam(SANDBOX_USER)
    return sandbox.problems(account.pw_uid, account.pw_gid)


# --- the story -------------------------------------------------------------------------------------------------------


def making_the_site(stage: Stage) -> str:
    """Owen's site, his clone of it, its dataset; the trust root."""
    scene("1  Owen makes a site beside his data")
    tell("""Owen keeps the data of 569 patients, which may not leave his machine. He makes a site beside them: a git
        repository for others to clone (site.git), and a private folder that nobody else sees.""")
    stage.owen.types(*signing("owen", "owen@centre.example"))
    stage.owen.types("gitqueue init cancer-centre")
    lend(stage.owen.home / "cancer-centre")
    stage.owen.types("gitqueue clone cancer-centre/site.git desk", hide="^trusting")
    tell("""The real data stay where they are. What goes into git is mock data: the same columns and number of rows,
        with values drawn at random, for anybody to try code on.""")
    stage.owens_desk.types(
        "python3 ../../examples/breast-cancer/make_mock.py ../mock",
        "gitqueue dataset add breast-cancer --title 'Breast Cancer Biomarker' \\\n"
        "--asset features=../data/features.csv --asset labels=../data/labels.csv \\\n"
        "--mock features=../mock/features.csv --mock labels=../mock/labels.csv \\\n"
        "--identifier patient_id",
    )
    return stage.owens_desk.runs("git config gitqueue.root")


def signing(name: str, email: str) -> tuple[str, ...]:
    """A key, and git's own settings to sign with it: once in a person's life."""
    return (
        f'ssh-keygen -q -t ed25519 -N "" -C {email} -f ~/.ssh/id_ed25519',
        f"git config --global user.name {name}",
        f"git config --global user.email {email}",
        "git config --global gpg.format ssh",
        "git config --global user.signingkey ~/.ssh/id_ed25519.pub",
    )


def letting_rachel_in(stage: Stage) -> None:
    scene("2  Rachel is let in")
    tell("""Rachel is a researcher elsewhere. She makes herself a key in the same way and mails Owen its public half,
        and he adds her. That is one signed commit.""")
    for line in signing("rachel", "rachel@uni.example"):
        stage.rachel.runs(line)
    (stage.owen.home / "rachel.pub").write_text((stage.rachel.home / ".ssh" / "id_ed25519.pub").read_text())
    stage.owens_desk.types("gitqueue person add rachel --email rachel@uni.example --key ../rachel.pub")
    tell("She clones the site by plain git: here by its path, else by ssh. The clone shows what data there are.")
    stage.rachel.types("git clone -q ../owen/cancer-centre/site.git desk")
    stage.rachels_desk.types("find datasets -type f", "head -n 3 datasets/breast-cancer/mock/labels.csv")


@contextmanager
def runner(stage: Stage) -> Iterator[None]:
    """The site's runner in the background, for as long as the story lasts."""
    argv = ("gitqueue", "-C", "cancer-centre", "serve")
    typed("owen", [f"{' '.join(argv)} &"])
    with (stage.base / "runner.log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / argv[0], *argv[1:]],
            cwd=stage.owen.home,
            env=environment(stage.owen.home),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def accuracy(stage: Stage) -> None:
    scene("3  A request, an approval and a result by plain git")
    tell("""Rachel wants to know how well a simple model tells malignant from benign. A request is a branch with a
        folder: code, a lock of its packages, and a job.yaml that says what leaves.""")
    rachel, owen = stage.rachels_desk, stage.owens_desk
    rachel.types(
        "git fetch -q",
        "git switch -q -c requests/rachel/accuracy --no-track origin/approved",
        "mkdir -p jobs/rachel/accuracy",
        "cp ../../examples/jobs/accuracy/* jobs/rachel/accuracy/",
        "ls -C jobs/rachel/accuracy",
    )
    tell("""First she tries it on the mock data, in the same sandbox. It runs, and finds nothing, because the mock
        labels are the toss of a coin:""")
    rachel.types("gitqueue test")
    rachel.types(
        'git add jobs && git commit -q -S -m "Accuracy of a logistic regression"',
        "git push -q origin HEAD",
    )
    tell("""Owen is shown one report to decide by: who asks for what, what speaks against it, every line of the code.
        (The demo leaves out what is long: job.yaml, the lock's hashes and his own checklist.)""")
    report(owen, "rachel/accuracy")
    tell("""He approves with a signed merge of the commit that he read. The push wakes the runner, which proves the
        approval from the chain's first commit on, and runs exactly that code.""")
    approving(stage, "rachel/accuracy", "Two numbers about a model")
    tell("""The result is a commit, too: signed by the runner, on top of the approval, sealed to Rachel's key and
        Owen's.""")
    rachel.types("git fetch -q && git log -1 --format=%B origin/results/rachel/accuracy")
    rachel.types("gitqueue results accuracy -o ../accuracy", "cat ../accuracy/accuracy.json")
    tell("""On the real patients the model is right in 97 of 100 cases that it had not seen. Without gitqueue, git and
        age do the same:""")
    rachel.types(
        "R=origin/results/rachel/accuracy:results/rachel/accuracy/outputs.tar.age",
        "git show $R | age -d -i ~/.ssh/id_ed25519 | tar xO outputs/accuracy.json",
    )


def report(owen: Person, job: str) -> None:
    """The report, as it is but for its longest parts."""
    typed("owen", [f"git fetch -q && gitqueue review {job}"])
    said = owen.runs(f"git fetch -q && gitqueue review {job}").splitlines()
    printed(abridged(said))


def abridged(lines: list[str]) -> Iterator[str]:
    """Without the diffs of requirements and job.yaml, and without the checklist; a line says so."""
    skipping, skipped = "", 0
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("diff --git") or set(below) == {"-"}:
            if skipping:
                yield f"[{skipping}: {skipped} lines]"
            skipping, skipped = long_part(line), 0
        skipped += 1
        if not skipping:
            yield line


def long_part(line: str) -> str:
    found = re.match(r"diff --git .*/(requirements\S*|job.yaml)$", line)
    return found[1] if found else line if "checklist" in line else ""


def approving(stage: Stage, job: str, why: str) -> None:
    """Owen's signed merge by plain git, and the wait for the results."""
    stage.owens_desk.types(
        f"R=$(git rev-parse origin/requests/{job})",
        "git switch -q approved && git merge -q --ff-only origin/approved",
        f'git merge -q -S --no-ff $R -m "{why}"',
        "git push -q origin approved",
    )
    seconds = waiting(stage, job, "completed")
    out()
    out(f"… {seconds:.1f} s after the push, {job} is completed.")


def waiting(stage: Stage, job: str, until: str) -> float:
    """Until the runner has said how the job ended, as anybody sees it: by fetching. The seconds that it took."""
    since, state = time.monotonic(), ""
    look = f"git fetch -q && git log -1 --format='%(trailers:key=State,valueonly)' origin/results/{job} -- || true"
    while (state := stage.rachels_desk.runs(look).strip()) != until:
        if state in ("failed", "cancelled", "interrupted", "withheld") or time.monotonic() - since > PATIENCE:
            log = (stage.base / "runner.log").read_text(errors="replace")
            raise Stopped(f"{job} should be {until}, and is {state or 'not taken up'}; the runner said:\n{log}")
        time.sleep(0.05)
    return time.monotonic() - since


def group_means(stage: Stage) -> None:
    scene("4  A second one by gitqueue's commands, and a chart that waits")
    tell("""Next Rachel asks for the means of ten features by diagnosis, as a table and a chart. gitqueue's commands do
        what she did by hand, and check it before it is sent.""")
    rachel, owen = stage.rachels_desk, stage.owens_desk
    rachel.types(
        "gitqueue new bc-mean --dataset breast-cancer",
        "cp ../../examples/jobs/bc-mean/* jobs/rachel/bc-mean/",
        "gitqueue check && gitqueue test",
    )
    rachel.types('gitqueue submit -m "Mean of ten features by diagnosis"')
    owen.types("gitqueue list")
    owen.types("gitqueue diff bc-mean | grep -A 3 'means = '")
    owen.types('gitqueue approve bc-mean -m "Means over groups of hundreds"')
    waiting(stage, "rachel/bc-mean", "held")
    tell("""The table could be checked; a picture no check can read. So nothing has left yet: the outputs wait in the
        site's vault for Owen's eyes.""")
    owen.types("gitqueue outputs bc-mean -o ../look", hide=r"^\S+Z out |^--- log")
    owen.types('gitqueue release bc-mean -m "The chart shows the table\'s numbers"')
    waiting(stage, "rachel/bc-mean", "completed")
    rachel.types("gitqueue results bc-mean -o ../bc-mean")
    chart(stage.rachel.home / "bc-mean" / "means.csv")
    tell(f"""The picture, for a viewer: {stage.rachel.home / "bc-mean" / "means.png"}""")


def chart(table: Path) -> None:
    """The table as bars: each group's mean as a share of the larger one."""
    with table.open(newline="") as file:
        groups = {row["diagnosis"]: row for row in csv.DictReader(file)}
    benign, malignant = groups["benign"], groups["malignant"]
    out()
    out(f"    {'mean of':<20}{'benign (' + benign['patients'] + ')':<27}malignant ({malignant['patients']})")
    for name in (name for name in benign if name.startswith("mean_")):
        pair = [float(benign[name]), float(malignant[name])]
        cells = [f"{'█' * round(14 * value / max(pair)):<14} {value:<9.4g}" for value in pair]
        out(f"    {name.removeprefix('mean_').replace('_', ' '):<20}{cells[0]}   {cells[1]}".rstrip())


def rows(stage: Stage) -> None:
    scene("5  And one that Owen refuses")
    tell("""A third request prints patients' rows. The rules let Rachel ask; Owen reads the code, and says no.""")
    rachel, owen = stage.rachels_desk, stage.owens_desk
    rachel.types(
        "gitqueue new rows --dataset breast-cancer",
        "cp ../../examples/jobs/rows/* jobs/rachel/rows/",
        'gitqueue submit -m "A look at the patients"',
    )
    owen.types("git fetch -q && gitqueue diff rows | grep -A 9 'for patient in patients'")
    owen.types('gitqueue reject rows -m "Prints patients\' rows: ask for counts or means"')
    tell("Rachel sees why, and may push something better to the same branch:")
    rachel.types("gitqueue show rows")


def proof(stage: Stage, root: str) -> None:
    scene("6  What is left: a history that anybody can check")
    tell("""Every step was a signed commit. From Owen's clone:""")
    stage.owens_desk.types(
        "git fetch -q",
        "git log --graph --all --format='%h %G? %<(9,trunc)%an %<(47,trunc)%s'",
    )
    tell("""G is a good signature of somebody whom the site knows. Rachel checks the whole chain herself, from the trust
        root that Owen told her, without asking the server:""")
    stage.rachels_desk.types(f"git config gitqueue.root {root}", "gitqueue verify --offline")


def curtain(stage: Stage, seconds: float) -> None:
    scene(f"That was it, in {seconds:.0f} s. The site is yours now")
    tell("The runner has stopped; everything else is still there. To look around:")
    out()
    out(f"    cd {stage.base}")
    for line, what in TRY:
        out(f"    {line:<39}{'# ' + what if what else ''}".rstrip())
    tell(f"To play it again: make demo. To forget it: rm -r {stage.base}")


TRY = (
    ("./as owen gitqueue list --all", "where every job stands"),
    ("./as owen gitqueue review rachel/rows", "the whole report"),
    ("./as owen git log --graph --all", "who signed what"),
    ("./as owen gitqueue policy show", "the rules in force, in sentences"),
    ("./as rachel gitqueue new mine", "a job of your own, from a template"),
    ("./as rachel gitqueue test", "on the mock data"),
    ("./as rachel gitqueue submit", ""),
    ("./as owen gitqueue approve mine", ""),
    ("./as owen gitqueue -C ../cancer-centre serve --once", ""),
    ("", "or without --once, until Ctrl-C"),
    ("./as rachel gitqueue results mine", ""),
    ("./as rachel", "a shell as rachel, in her clone"),
)


# --- playing it ------------------------------------------------------------------------------------------------------


def play(base: Path) -> None:
    since = time.monotonic()
    out("One site, two people: Owen, who keeps data, and Rachel, who would like to")
    out("compute with them. What they type is real; so are the patients (the Breast")
    out("Cancer Wisconsin data, which are public, and here play data that are not).")
    out()
    out(f"It is played in {base}, and takes about a minute:")
    out("the first time somewhat longer, while two Python environments are built …")
    stage = set_up(base)
    root = making_the_site(stage)
    letting_rachel_in(stage)
    tell("And Owen starts the runner, which waits for approved work:")
    with runner(stage):
        accuracy(stage)
        group_means(stage)
        rows(stage)
        proof(stage, root)
    curtain(stage, time.monotonic() - since)


def fresh(named: str | None) -> Path:
    """An empty folder that any account may enter: jobs run as an account of their own where the runner is root."""
    base = Path(named).absolute() if named else Path(tempfile.mkdtemp(prefix="gitqueue-demo-", dir="/tmp"))
    base.mkdir(parents=True, exist_ok=True)
    if any(base.iterdir()):
        raise Stopped(f"{base} is not empty: choose another folder")
    base.chmod(0o755)
    return base


def complain(what: str) -> int:
    sys.stdout.flush()
    print(f"\ndemo: {what}", file=sys.stderr)
    return 1


def main() -> int:
    words = argparse.ArgumentParser(description="Play the story of a site in a fresh folder.")
    words.add_argument("folder", nargs="?", default=os.environ.get("DEMO"), help="default: a new one below /tmp")
    try:
        problems = able()
        if problems:
            raise Stopped("\n".join(("this machine cannot run jobs yet:", *problems)))
        play(fresh(words.parse_args().folder))
    except KeyboardInterrupt:
        return complain("stopped")
    except ModuleNotFoundError as error:
        return complain(f"{sys.executable} has no {error.name}: start it by `make demo`, which installs it")
    except (Stopped, OSError, subprocess.CalledProcessError) as error:
        return complain(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
