"""People come by ssh: a real sshd on a loopback port, one account for all, and nobody gets further than git."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from subprocess import DEVNULL, PIPE
from tempfile import TemporaryDirectory
from typing import IO

import pytest
from conftest import JOB, MAIN, Desk, Done, Town, configure, done, ok, run
from sshd import SSHD, Far, Server, running

from gitqueue.adapters.objects import Objects
from gitqueue.adapters.resources import install_site_hooks
from gitqueue.errors import Mistake, NotAllowed, OperatorNeeded
from gitqueue.refs import parse
from gitqueue.rules import access, policy
from gitqueue.rules.access import Pass, Sender, Service
from gitqueue.steps import admit

pytestmark = pytest.mark.slow  # many real pushes and runs: `make quick` leaves them to `make test`

RACHEL = Pass("rachel", False, "ssh-ed25519 AAAA", "SHA256:x", 0, 1)
OWEN = Pass("owen", True, "ssh-ed25519 AAAA", "SHA256:y", 0, 1)
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not Path(SSHD).exists(), reason="needs openssh-server, and root to make its account"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # Not below pytest's folders: each start of pytest closes them again to other accounts.
    with TemporaryDirectory(prefix="gitqueue-ssh-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with running(home) as found:
            yield found


@pytest.fixture
def far(server: Server, template: Path) -> Iterator[Far]:
    """This test's own site, where the servers look for theirs."""
    with TemporaryDirectory(dir=server.home) as folder:
        Path(folder).chmod(0o755)
        town = Town(Path(folder) / "town")
        shutil.copytree(template, town.path, symlinks=True)
        install_site_hooks(town.repository, server.python)
        with ExitStack() as masters:
            found = Far(town, server, masters)
            found.own()
            server.site.unlink(missing_ok=True)
            server.site.symlink_to(town.site)
            yield found


def refused(ended: Done, *words: str) -> None:
    """Not allowed, in our own words, and nothing was said on standard output."""
    assert ended.code == 3, (ended.code, ended.out, ended.err)
    assert ended.err.startswith("gitqueue: "), ended.err
    assert ended.out == ""
    for word in words:
        assert word in ended.err, ended.err


# Comings and goings of ordinary people


@needs_root
def test_a_request_goes_in_and_is_approved_over_ssh_by_plain_git(far: Far) -> None:
    rachel, owen = far.desk("rachel"), far.desk("owen")
    revision = rachel.request("rachel/bc-mean", push=False)
    pushed = run("git", "push", "origin", "HEAD", cwd=rachel.path)
    assert (pushed.code, "remote: gitqueue: rachel/bc-mean is pending" in pushed.err) == (0, True), pushed.err
    owen.merge(revision)
    pushed = run("git", "push", "origin", "approved", cwd=owen.path)
    assert (pushed.code, "remote: gitqueue: rachel/bc-mean is approved" in pushed.err) == (0, True), pushed.err
    owners = {path.stat().st_uid for path in far.town.repository.rglob("*")}
    assert owners == {far.server.uid}, "the account alone writes there"


@needs_root
def test_whoever_logs_in_without_a_command_is_told_who_they_are(far: Far) -> None:
    said = far.ssh("rachel")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("gitqueue: you are rachel here, a requester; there is no shell\n")
    assert f"git clone {far.server.account}@HOST:site.git" in said.out
    assert "vault" not in said.out


@needs_root
def test_the_repository_answers_to_each_documented_spelling(far: Far) -> None:
    paths = ["site.git", "/site.git", "~/site.git", "centre/site.git", "~/centre/site.git", "site.git/"]
    paths += [f"{far.server.site}/site.git", f"{far.town.site}/site.git"]
    with far.open("rachel") as quick:
        for path in paths:
            told = quick.git("rachel", "ls-remote", quick.url(path), "refs/heads/approved", cwd=far.town.path)
            assert told.out.endswith("refs/heads/approved\n"), (path, told.err)
        both = (quick.ssh("rachel", f"{word} 'site.git'").out for word in ("git upload-pack", "git-upload-pack"))
        assert all(one.startswith("0") and "refs/heads/approved" in one for one in both)


# Keys


@needs_root
def test_an_unknown_key_opens_nothing(far: Far) -> None:
    assert_shut(far, "stranger")


@needs_root
def test_a_certificate_opens_nothing_although_the_host_trusts_its_authority(far: Far) -> None:
    """It would come in without the command that stands beside each key: to a shell."""
    home, key = far.server.home, far.town.key("stranger")
    ok("ssh-keygen", "-q", "-s", home / "authority", "-I", "x", "-n", far.server.account, f"{key}.pub", cwd=home)
    said = far.ssh("stranger", "id", more=("-o", f"CertificateFile={key}-cert.pub"))
    assert (said.code, "Permission denied" in said.err) == (255, True)
    assert (
        "uid=" in far.ssh("stranger", "id", port=far.server.lax, more=("-o", f"CertificateFile={key}-cert.pub")).out
    ), "without our line of sshd's configuration it does"


@needs_root
def test_the_runners_key_opens_nothing(far: Far) -> None:
    key = far.town.key("runner")
    key.write_bytes((far.town.site / "private" / "keys" / "runner").read_bytes())
    key.chmod(0o600)
    assert_shut(far, "runner")


def test_one_key_of_a_person_does_not_vouch_for_another(town: Town) -> None:
    """The connection was made with a key that is revoked by now; the person has a second one."""
    ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", town.key("second"), cwd=town.path)
    files = [town.key(name).with_suffix(".pub") for name in ("stranger", "second")]
    keys = [file.read_text().strip() for file in files]
    held = f"{{key: {keys[0]}, revoked: 2026-01-01}}, {{key: {keys[1]}}}"
    people(town, f"guest: {{roles: [owner], keys: [{held}]}}\n".encode())
    old, new = (ok("ssh-keygen", "-l", "-f", file, cwd=town.path).split()[1] for file in files)
    now = time.time()
    assert admit.person(town.site, "guest", new, now).fingerprint == new
    with pytest.raises(NotAllowed, match="of guest does not count here any more"):
        admit.person(town.site, "guest", old, now)


@needs_root
@pytest.mark.slow
def test_a_key_revoked_by_a_site_change_is_refused_at_once_on_an_open_connection_too(far: Far) -> None:
    owen = far.desk("owen")
    with far.open("rolf") as quick:
        assert quick.ssh("rolf", "git-upload-pack 'site.git'").code == 0
        done(owen.gitqueue("person", "revoke", "rolf"))
        refused(quick.ssh("rolf", "git-upload-pack 'site.git'"), "of rolf does not count here any more")
    assert_shut(far, "rolf")
    assert far.ssh("rachel", "git-upload-pack 'site.git'").code == 0


@needs_root
def test_a_key_revoked_by_the_operator_is_refused_at_once_on_an_open_connection_too(far: Far) -> None:
    with far.open("rolf") as quick:
        assert quick.ssh("rolf", "git-upload-pack 'site.git'").code == 0
        revoke(far.town, "rolf")
        refused(quick.ssh("rolf", "git-upload-pack 'site.git'"), "does not count here any more")
    assert_shut(far, "rolf")


@needs_root
def test_a_push_that_is_held_open_while_its_key_is_revoked_is_refused(far: Far) -> None:
    """Sent by hand: the session is admitted, and its key revoked before the first byte of the push."""
    owen, olga = far.desk("owen"), far.desk("olga")
    merged = owen.merge(far.desk("rachel").request("rachel/slow"))
    olga.git("fetch", "-q", owen.path, merged)
    command = [*far.connect("olga"), "127.0.0.1", "--", "git-receive-pack 'site.git'"]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=olga.path) as session:
        assert session.stdin
        assert session.stdout
        assert session.stderr
        seen = b"".join(iter(lambda: packet(session.stdout), b""))
        revoke(far.town, "olga")
        move = f"{ok('git', 'rev-parse', 'origin/approved', cwd=olga.path)} {merged} refs/heads/approved\0report-status"
        session.stdin.write(b"%04x" % (len(move) + 4) + move.encode() + b"0000" + pack(olga, merged))
        session.stdin.close()
        assert b"refs/heads/approved" in seen
        assert b"ng refs/heads/approved pre-receive hook declined" in session.stdout.read()
        assert b"gitqueue: the key SHA256:" in session.stderr.read()
    assert far.refs()["refs/heads/approved"] != merged


def packet(stream: IO[bytes]) -> bytes:
    """One line of git's protocol; empty for the end of a part."""
    length = int(stream.read(4), 16)
    return stream.read(length - 4) if length else b""


def pack(desk: Desk, tip: str) -> bytes:
    """All that a push of `tip` carries."""
    revs = f"{tip}\n^origin/approved\n".encode()
    words = ["git", "pack-objects", "--revs", "--stdout", "-q"]
    made = subprocess.run(words, cwd=desk.path, input=revs, capture_output=True, check=True)
    return made.stdout


def revoke(town: Town, name: str) -> None:
    """As the operator: in runner.yaml."""
    print_ = ok("ssh-keygen", "-l", "-f", f"{town.key(name)}.pub", cwd=town.path).split()[1]
    file = town.site / "private" / "runner.yaml"
    text = file.read_text()
    assert "revoked: []" in text
    file.write_text(text.replace("revoked: []", f"revoked: ['{print_}']"))


def assert_shut(far: Far, name: str) -> None:
    said = far.ssh(name, "git-upload-pack 'site.git'")
    assert (said.code, said.out) == (255, "")
    assert "Permission denied (publickey)" in said.err


@pytest.mark.parametrize(
    ("key", "day", "counts"),
    [
        ("{key: KEY, until: 2030-01-01}", "2029-12-31T23:59:59", True),
        ("{key: KEY, until: 2030-01-01}", "2030-01-01T00:00:00", False),
        ("{key: KEY, from: 2030-01-01}", "2029-12-31T23:59:59", False),
        ("{key: KEY, from: 2030-01-01}", "2030-01-01T00:00:00", True),
        ("{key: KEY, revoked: 2030-01-01}", "2029-12-31T23:59:59", True),
        ("{key: KEY, revoked: 2030-01-01}", "2030-01-01T00:00:00", False),
    ],
)
def test_a_key_opens_the_door_on_its_days_alone(town: Town, key: str, day: str, counts: bool) -> None:
    line = town.key("stranger").with_suffix(".pub").read_text().strip()
    said = f"guest: {{roles: [requester], keys: [{key.replace('KEY', repr(line))}]}}\n".encode()
    people(town, said)
    now = datetime.fromisoformat(f"{day}+00:00").timestamp()
    found = admit.keys(town.site, now, *line.split()[:2])
    assert len(found) == counts
    if counts:
        assert admit.person(town.site, "guest", "", now).person == "guest"
    else:
        with pytest.raises(NotAllowed, match="of guest does not count here any more"):
            admit.person(town.site, "guest", "", now)


def people(town: Town, more: bytes) -> None:
    """Add to people.yaml on `approved`, behind the gate's back: what it would say of it is not asked here."""
    objects = Objects(town.repository)
    tip = objects.commit(objects.ref("refs/heads/approved") or "")
    held = objects.file(tip.tree, ".gitqueue/people.yaml") or b""
    tree = objects.put_files(tip.tree, {".gitqueue/people.yaml": (0o100644, held + more)})
    who = ("-c", "user.name=x", "-c", "user.email=x@x")
    commit = ok("git", *who, "commit-tree", "-p", tip.id, "-m", "More", tree, cwd=town.repository)
    ok("git", "update-ref", "refs/heads/approved", commit, cwd=town.repository)


def test_the_lines_of_all_keys_that_count_are_printed_where_none_is_offered(town: Town) -> None:
    lines = done(town.gitqueue("keys")).out.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["owen", "olga", "rachel", "rolf"]
    for line, name in zip(lines, ("owen", "olga", "rachel", "rolf"), strict=True):
        key = " ".join(town.key(name).with_suffix(".pub").read_text().split()[:2])
        start = re.fullmatch(rf'restrict,command="(.*)" {re.escape(key)} {name}', line)
        assert start, line
        words = shlex.split(start[1])
        assert words[1:7] == ["-Im", "gitqueue.hook", "shell", str(town.site), name, words[6]]


@pytest.mark.parametrize(
    "offered",
    [
        ("ssh-ed25519",),
        ("ssh-ed25519", "AAAA"),
        ("ssh-ed25519", ""),
        ("ssh-ed25519-cert-v01@openssh.com", "KEY"),
        ("ssh-ed25519", "KEY="),
        ("ssh-ed25519", "KEY\n"),
        ("restrict", "KEY"),
    ],
)
def test_for_what_is_no_known_key_nothing_is_printed(town: Town, offered: tuple[str, ...]) -> None:
    """Quietly: sshd asks for everybody who knocks."""
    key = town.key("rachel").with_suffix(".pub").read_text().split()[1]
    said = town.gitqueue("keys", *(word.replace("KEY", key) for word in offered))
    assert (said.code, said.out, said.err) == (0, "", "")


def test_a_site_whose_documents_cannot_be_read_lets_nobody_in(town: Town) -> None:
    assert admit.keys(town.site, time.time())
    file = town.site / "private" / "runner.yaml"
    text = file.read_text()
    file.write_text(f"{text}\nrevokd: []\n")
    said = town.gitqueue("keys")
    assert (said.code, said.out, "'revokd'" in said.err) == (2, "", True)
    file.unlink()
    said = town.gitqueue("keys")
    assert (said.code, said.out, "runner.yaml" in said.err) == (5, "", True)
    file.write_text(text)
    people(town, b"guest: [\n")
    said = town.gitqueue("keys")
    assert (said.code, said.out, "people.yaml" in said.err) == (2, "", True)


def test_what_was_kept_of_the_documents_is_never_believed_for_others(town: Town) -> None:
    assert len(admit.keys(town.site, time.time())) == 4
    kept = town.site / "private" / "passes.json"
    before = kept.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0
    revoke(town, "rachel")
    assert len(admit.keys(town.site, time.time())) == 3
    for damaged in (before, b"", b"[]", b'{"of": 1}', b"\xff", before[:-9]):
        kept.write_bytes(damaged)
        assert len(admit.keys(town.site, time.time())) == 3, damaged


@needs_root
def test_another_account_than_the_sites_lets_nobody_in(town: Town) -> None:
    ok("chown", "-R", "daemon:", town.site, cwd=town.path)
    with pytest.raises(OperatorNeeded, match="belongs to daemon, and this is root"):
        admit.keys(town.site, time.time())


def test_a_path_with_quotes_comes_back_from_authorized_keys_as_it_was() -> None:
    """sshd takes the outer quotes away, turning \\" into ", and a shell splits the rest."""
    path = """/srv/a b'c"d\\e\\"f$(x)`y`"""
    line = access.authorized_key(RACHEL, ["python", path, "rachel"])
    quoted = re.fullmatch(r'restrict,command="((?:[^"]|\\")*)" ssh-ed25519 AAAA rachel', line)
    assert quoted
    assert shlex.split(quoted[1].replace('\\"', '"')) == ["python", path, "rachel"]
    with pytest.raises(Mistake, match="cannot stand in authorized_keys"):
        access.authorized_key(RACHEL, ["python", "/srv/a\nb", "rachel"])


# What may be asked for


EVIL = [
    "{git} 'site.git'; touch {mark}",
    "{git} 'site.git' && touch {mark}",
    "{git} 'site.git'\ntouch {mark}",
    "{git} 'site.git\n'",
    "{git} 'site.git'\n",
    "{git} 'site.git' | touch {mark}",
    "{git} '$(touch {mark})'",
    "{git} $(touch {mark})",
    "{git} '`touch {mark}`'",
    "{git} `touch {mark}`",
    "{git} 'site.git'`touch {mark}`",
    "{git} '''site.git'",
    "{git} 'x'\\''; touch {mark}; '\\'''",
    "{git} --help",
    "{git} '--help'",
    "{git} '--upload-pack=touch {mark}'",
    "{git} --upload-pack='touch {mark}' 'site.git'",
    "{git} --exec='touch {mark}' 'site.git'",
    "{git} '-oProxyCommand=touch {mark}'",
    "{git} -c uploadpack.packObjectsHook='touch {mark}' 'site.git'",
    "git -c uploadpack.packObjectsHook='touch {mark}' upload-pack 'site.git'",
    "git -c alias.upload-pack='!touch {mark}' upload-pack 'site.git'",
    "{git} 'site.git' 'site.git'",
    "{git}  'site.git'",
    " {git} 'site.git'",
    "{git} 'site.git' ",
    "{git} site.git",
    '{git} "site.git"',
    "{git} '../site.git'",
    "{git} './site.git'",
    "{git} 'site.git/../site.git'",
    "{git} 'site.git/.'",
    "{git} 'site.git//'",
    "{git} '//site.git'",
    "{git} '../../etc'",
    "{git} '/etc'",
    "{git} 'private'",
    "{git} 'private/keys'",
    "{git} '~root/site.git'",
    "{git} '~'",
    "{git} '.'",
    "{git} ''",
    "{git} 'SITE.GIT'",
    "{git} 'site.git\u00a0'",
    "{git} 'https://evil.example/site.git'",
    "{git} 'ext::touch {mark}'",
    "GIT-UPLOAD-PACK 'site.git'",
    "git  upload-pack 'site.git'",
    "git - receive-pack 'site.git'",
    "/usr/bin/git-upload-pack 'site.git'",
    "git-upload-pack2 'site.git'",
    "git-upload-archive 'site.git'",
    "git upload-archive 'site.git'",
    "git-shell -c \"git-upload-pack 'site.git'\"",
    "git daemon",
    "git-http-backend",
    "sh -c 'touch {mark}'",
    "sh",
    "touch {mark}",
    "id",
    "scp -f /etc/passwd",
    "scp -t {mark}",
    "rsync --server --sender . /etc/passwd",
    "/usr/lib/openssh/sftp-server",
    "internal-sftp",
    "gitqueue shell owen",
    "x" * 20_000,
]


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("git", ["git-upload-pack", "git receive-pack"])
def test_nothing_but_git_on_a_known_path_is_ever_started(far: Far, git: str) -> None:
    mark = far.server.home / "pwned"
    evil = [text.replace("{git}", git).replace("{mark}", str(mark)) for text in EVIL]
    evil = evil if git == "git-upload-pack" else [text for text in evil if git in text]
    with far.open("rachel") as quick, ThreadPoolExecutor(4) as pool:
        for text, said in zip(evil, pool.map(lambda text: quick.ssh("rachel", text), evil), strict=True):
            refused(said, " is refused: " if "there is no repository" not in said.err else "there is no repository")
            assert not mark.exists(), text
            assert all(len(line) < 400 and line.isascii() for line in said.err.splitlines()), said.err


@pytest.mark.parametrize("text", EVIL)
def test_the_grammar_of_commands_takes_no_other_sentence(text: str) -> None:
    known = access.spellings(["/srv/centre"], "/home/gq")
    for git in ("git-upload-pack", "git-receive-pack", "git upload-pack", "git receive-pack"):
        with pytest.raises(NotAllowed):
            access.asked(text.replace("{git}", git), known, OWEN)
        assert access.asked(f"{git} 'site.git'", known, RACHEL) == (Service(git[4:]), "site.git")


# The other things that ssh can do; by the lax server, so that the line of the key alone stands in the way


@needs_root
def test_no_file_is_copied_by_scp_or_sftp(far: Far) -> None:
    options = far.server.options(far.town.key("owen"), far.server.lax)
    source, target = f"{far.server.account}@127.0.0.1:/etc/passwd", far.town.path / "copied"
    for program in (["scp"], ["scp", "-O"], ["sftp"]):
        assert run(*program, *options, source, target, cwd=far.town.path).code != 0
        assert not target.exists()
    said = run(*far.connect("owen", far.server.lax, "-s"), "127.0.0.1", "sftp", cwd=far.town.path)
    assert (said.code, said.out) == (3, ""), "ours, but sshd keeps the words: a subsystem has no standard error"


@needs_root
def test_no_port_is_forwarded_in_either_direction(far: Far) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inner:
        place = f"127.0.0.1:{inner.getsockname()[1]}"
        out = run("timeout", "20", *far.connect("owen", far.server.lax, "-W", place), "127.0.0.1", cwd=far.town.path)
        assert (out.code, "administratively prohibited" in out.err) == (255, True), out.err
    for given in ("0:127.0.0.1:22", "1080", f"{far.server.home}/socket:127.0.0.1:22"):
        strict = ("-o", "ExitOnForwardFailure=yes", "-N", "-R", given)
        back = run("timeout", "20", *far.connect("owen", far.server.lax, *strict), "127.0.0.1", cwd=far.town.path)
        assert (back.code, "remote port forwarding failed" in back.err) == (255, True), back.err


@needs_root
def test_nobody_gets_a_terminal(far: Far) -> None:
    said = run(*far.connect("owen", far.server.lax, "-tt"), "127.0.0.1", cwd=far.town.path)
    assert "PTY allocation request failed" in said.err
    assert said.out == ""


SENT = {
    "GIT_DIR": "/etc",
    "GIT_TRACE": "{mark}",
    "GIT_TRACE2_EVENT": "{mark}",
    "GIT_EXEC_PATH": "{home}",
    "GIT_OBJECT_DIRECTORY": "{home}",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "{home}",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "uploadpack.packObjectsHook",
    "GIT_CONFIG_VALUE_0": "touch {mark}; git pack-objects",
    "GIT_CONFIG_PARAMETERS": "'uploadpack.packobjectshook=touch {mark}'",
    "GIT_CONFIG_GLOBAL": "{home}/config",
    "GIT_NAMESPACE": "elsewhere",
    "GIT_SSH_COMMAND": "touch {mark}",
    "GITQUEUE_SENDER": "owen",
    "GITQUEUE_SENDER_KEY": "SHA256:x",
    "GITQUEUE_SITE": "/etc",
    "PYTHONPATH": "{home}",
    "PYTHONHOME": "{home}",
    "PYTHONSTARTUP": "{home}/x.py",
    "SSH_ORIGINAL_COMMAND": "touch {mark}",
    "LD_PRELOAD": "{home}/x.so",
    "BASH_ENV": "$(touch {mark})",
    "LANG": "de_DE.UTF-8",
}


@needs_root
@pytest.mark.parametrize("kind", ["strict", "lax"])
def test_no_variable_that_a_client_sends_reaches_git_or_its_hooks(far: Far, kind: str) -> None:
    home = far.server.home
    (home / "config").write_text(f'[uploadpack]\n\tpackObjectsHook = "touch {home}/pwned; git pack-objects"\n')
    values = {name: text.format(mark=home / "pwned", home=home) for name, text in SENT.items()}
    sent = ("-o", "SetEnv=" + " ".join(f'"{name}={value}"' for name, value in values.items()), "-o", "SendEnv=-*")
    port = getattr(far.server, kind)
    with session(far, "rachel", "git-receive-pack 'site.git'", port, *sent) as found:
        assert found["GITQUEUE_SENDER"] == "rachel"
        held = {name for name in found if not re.fullmatch(r"GIT_CONFIG_(KEY|VALUE)_\d+", name)}
        assert held == {
            *("PATH", "HOME", "LC_ALL", "GIT_TERMINAL_PROMPT", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL"),
            *(
                "GIT_NO_REPLACE_OBJECTS",
                "GIT_OPTIONAL_LOCKS",
                "GIT_ALLOC_LIMIT",
                "GIT_CONFIG_COUNT",
                "GITQUEUE_SENDER",
                "GITQUEUE_SENDER_KEY",
            ),
        }
        assert not [name for name, value in found.items() if str(home) in value or value == values.get(name)]
    cloned = far.git("rachel", "clone", "-q", far.url(), far.town.path / kind, cwd=far.town.path, port=port, more=sent)
    assert cloned.code == 0, cloned.err
    assert not (home / "pwned").exists()


@needs_root
def test_neither_agent_nor_display_is_forwarded(far: Far) -> None:
    agent, log = far.town.path / "agent", far.server.home / f"sshd-{far.server.lax}.log"
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=DEVNULL) as process:
        try:
            while not agent.exists():
                time.sleep(0.01)
            asking = [*far.connect("owen", far.server.lax, "-A", "-Y"), "127.0.0.1", "--", "git-upload-pack 'site.git'"]
            asking[asking.index("IdentityAgent=none")] = f"IdentityAgent={agent}"
            said = run(*asking, cwd=far.town.path, env={"DISPLAY": "127.0.0.1:9"}, stdin=b"0000")
        finally:
            process.terminate()
    assert said.code == 0
    assert "X11 forwarding request failed" in said.err
    text = log.read_text(errors="replace")
    session_ = text[text.rindex("Accepted publickey") :]
    assert "auth-agent-req@openssh.com" in session_
    assert "agent forwarding disabled" in session_


@contextmanager
def session(far: Far, name: str, command: str, port: int, *more: str) -> Iterator[dict[str, str]]:
    """A session that stays open after git's first words; gives the environment of its git program."""
    argv = [*far.connect(name, port, "-T", *more), "127.0.0.1", "--", command]
    with subprocess.Popen(argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=far.town.path) as open_:
        assert open_.stdin
        assert open_.stdout
        while packet(open_.stdout):
            pass
        programs = processes(far.server.uid, command.split()[0].removeprefix("git-").encode())
        assert len(programs) == 1
        pairs = (programs[0] / "environ").read_bytes().decode().rstrip("\0").split("\0")
        yield dict(pair.split("=", 1) for pair in pairs)
        open_.stdin.write(b"0000")
        open_.stdin.close()


def processes(uid: int, word: bytes) -> list[Path]:
    """Of one account, with one word in their command line; others come and go meanwhile."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.stat().st_uid == uid and word in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(process)
    return found


@needs_root
def test_the_documented_lines_of_sshd_say_what_they_should(server: Server) -> None:
    where = ("-C", f"user={server.account},host=x,addr=127.0.0.1")
    told = ok(SSHD, "-T", *where, "-f", server.home / f"sshd-{server.strict}", cwd=server.home).splitlines()
    assert [line for line in told if line.startswith("acceptenv")] == ["acceptenv GIT_PROTOCOL"]
    assert {
        *("disableforwarding yes", "permittty no", "permituserrc no", "permittunnel no", "permituserenvironment no"),
        *("authenticationmethods publickey", "authorizedkeysfile none", "trustedusercakeys none"),
    } <= set(told)


# What is listed


@needs_root
@pytest.mark.slow
def test_what_is_anothers_is_not_listed_and_not_secret(far: Far) -> None:
    rachel, rolf, owen = far.desk("rachel"), far.desk("rolf"), far.desk("owen")
    hers, his = rachel.request("rachel/hers"), rolf.request("rolf/his")
    done(owen.gitqueue("comment", "rachel/hers", "-m", "Fine so far"))
    done(owen.gitqueue("comment", "rolf/his", "-m", "Fine so far"))
    shown = {"requests/rolf/his", "reviews/rolf/his"}
    everybodys = {"approved", *(name.removeprefix("refs/heads/") for name in far.refs() if name.endswith("/audit"))}
    assert listed(far, "rolf") == everybodys | shown
    assert listed(far, "rolf", "version=0") == everybodys | shown
    assert advertised(far, "rolf") == everybodys | shown
    assert (
        listed(far, "owen")
        == advertised(far, "owen")
        == everybodys | shown | {"requests/rachel/hers", "reviews/rachel/hers"}
    )
    # facts.md: hiding keeps nothing from who knows the id; docs/ssh.md says so
    rolf.git("fetch", "-q", "origin", hers)
    assert rolf.git("show", f"{hers}:jobs/rachel/hers/job.yaml")
    assert his


def listed(far: Far, name: str, protocol: str = "version=2") -> set[str]:
    told = far.git(name, "-c", f"protocol.version={protocol[-1]}", "ls-remote", far.url(), cwd=far.town.path)
    assert told.code == 0, told.err
    names = {line.split("\t")[1] for line in told.out.splitlines()} - {"HEAD"}
    return {one.removeprefix("refs/heads/") for one in names}


def advertised(far: Far, name: str) -> set[str]:
    """What a push is told before it begins."""
    told = far.ssh(name, "git-receive-pack 'site.git'")
    assert told.code == 0, told.err
    return set(re.findall(r"[0-9a-f]{40} refs/heads/([^\0\n]+)", told.out))


@pytest.mark.parametrize("service", list(Service))
def test_nothing_is_hidden_from_an_owner(service: Service) -> None:
    assert access.hidden(OWEN, service, ["owen", "rachel"]) == []


def test_a_push_hides_by_name_so_that_a_mistyped_one_reaches_the_gate_unless_people_are_many() -> None:
    few, many = (access.hidden(RACHEL, Service.PUSH, ["rachel", *map(str, range(n))]) for n in (100, 101))
    assert ("receive.hideRefs", "refs/heads/requests/7") in few
    assert not [value for _, value in few if value.endswith(("requests", "/rachel"))]
    assert len(many) == 6
    assert {name for name, _ in many} == {"receive.hideRefs"}
    assert [value for _, value in many][::3] == ["refs/heads/requests", "!refs/heads/requests/rachel"]


# The vault


@pytest.fixture
def vault(far: Far) -> str:
    """What a run would have left there of rachel/held; its commit."""
    path = far.town.site / "private" / "vault.git"
    objects = Objects(path)
    files = {"outputs/means.csv": b"radius,20\n", "ended.json": b"{}", "log": b"one row of data\n"}
    tree = objects.put_files(None, {name: (0o100644, data) for name, data in files.items()})
    who = ("-c", "user.name=x", "-c", "user.email=x@x", "-c", "safe.directory=*")
    commit = ok("git", *who, "commit-tree", "-m", "Left", tree, cwd=path)
    ok("git", *who, "update-ref", "refs/heads/outputs/rachel/held", commit, cwd=path)
    far.own()
    return commit


@needs_root
@pytest.mark.slow
def test_the_vault_is_read_by_owners_alone_and_written_by_nobody(far: Far, vault: str) -> None:
    spellings = ("vault.git", "private/vault.git", f"{far.server.site}/private/vault.git", "~/centre/private/vault.git")
    with far.open("owen") as owen, far.open("rachel") as rachel:
        for path in spellings:
            refused(
                rachel.ssh("rachel", f"git-upload-pack '{path}'"),
                "the vault is served to owners alone, and rachel is none",
            )
            refused(rachel.ssh("rachel", f"git-receive-pack '{path}'"), "the vault is served to owners alone")
            refused(owen.ssh("owen", f"git-receive-pack '{path}'"), "the vault is written by the site's runner alone")
            told = owen.git("owen", "ls-remote", owen.url(path), cwd=far.town.path)
            assert told.out.split() == [vault, "refs/heads/outputs/rachel/held"]


@needs_root
def test_the_vault_is_not_reached_through_the_site_even_by_id(far: Far, vault: str) -> None:
    rachel = far.desk("rachel")
    assert f"not our ref {vault}" in rachel.refused("fetch", "origin", vault)


@needs_root
@pytest.mark.slow
def test_an_owner_looks_at_outputs_over_ssh_and_keeps_no_copy(far: Far, vault: str) -> None:
    rachel, owen = far.desk("rachel"), far.desk("owen")
    rachel.request("rachel/held")
    said = done(owen.gitqueue("outputs", "rachel/held"))
    assert "radius,20" in said.out
    assert "one row of data" in said.out
    assert run("git", "cat-file", "-e", vault, cwd=owen.path).code != 0
    said = rachel.gitqueue("outputs", "rachel/held")
    assert (said.code, said.out) == (3, "")
    assert "gitqueue: the vault is served to owners alone, and rachel is none" in said.err
    rachel.request("rachel/other")
    said = owen.gitqueue("outputs", "rachel/other")
    assert (said.code, "its run has left nothing (yet)" in said.err) == (1, True)


# The second lock


@needs_root
@pytest.mark.slow
def test_somebody_elses_signed_request_is_not_taken_from_another_sender(far: Far) -> None:
    """Rachel has signed it, and not pushed it: others who got hold of it may not, whatever they say who they are."""
    tip = far.desk("rachel").request("rachel/draft", push=False)
    move = f"{tip}:refs/heads/requests/rachel/draft"
    for name in ("olga", "rolf"):
        desk = far.desk(name)
        desk.git("fetch", "-q", far.town.path / "desks" / "rachel", tip)
        posing = ("-o", "SetEnv=GITQUEUE_SENDER=rachel")
        said = far.git(name, "push", "origin", move, cwd=desk.path, port=far.server.lax, more=posing)
        why = "rachel/draft is pushed by rachel alone, and this connection is olga's"
        assert (said.code, (why if name == "olga" else "deny updating a hidden ref") in said.err) == (1, True), said.err
    assert "refs/heads/requests/rachel/draft" not in far.refs()


@needs_root
@pytest.mark.slow
def test_an_approval_that_an_owner_has_signed_is_not_taken_from_a_requester(far: Far) -> None:
    rachel, owen = far.desk("rachel"), far.desk("owen")
    merged = owen.merge(rachel.request("rachel/job"))
    rachel.git("fetch", "-q", owen.path, merged)
    said = rachel.refused("push", "origin", f"{merged}:refs/heads/approved")
    assert "gitqueue: approved is pushed by an owner, and this connection is rachel's" in said
    olga = far.desk("olga")
    olga.git("fetch", "-q", owen.path, merged)
    olga.git("push", "-q", "origin", f"{merged}:refs/heads/approved")


@needs_root
@pytest.mark.slow
def test_a_review_is_taken_from_the_signer_of_its_newest_note_alone(far: Far) -> None:
    rachel, owen, olga = far.desk("rachel"), far.desk("owen"), far.desk("olga")
    tip = rachel.request("rachel/job")
    owen.git("fetch", "-q", "origin", tip)
    owen.git("switch", "-q", "--detach", tip)
    owen.git("commit", "-q", "-S", "--allow-empty", "-m", "No", "-m", f"Decision: rejected\nRevision: {tip}")
    note, review = owen.git("rev-parse", "HEAD"), "refs/heads/reviews/rachel/job"
    olga.git("fetch", "-q", owen.path, note)
    said = olga.refused("push", "origin", f"{note}:{review}")
    assert "gitqueue: the newest review of rachel/job is signed by owen, and this connection is olga's" in said
    owen.git("push", "-q", "origin", f"{note}:{review}")
    assert far.refs()[review] == note


@pytest.mark.parametrize(
    ("ref", "signer", "refusal"),
    [
        ("refs/heads/approved", None, {"rachel", "rolf"}),
        ("refs/heads/requests/rachel/job", None, {"rolf", "owen"}),
        ("refs/heads/reviews/rachel/job", "rachel", {"rolf", "owen"}),
        ("refs/heads/reviews/rachel/job", "owen", {"rachel", "rolf"}),
        ("refs/heads/reviews/rachel/job", None, set()),  # what nobody signed is refused for that
    ],
)
def test_who_may_send_what(ref: str, signer: str | None, refusal: set[str]) -> None:
    found = parse(ref)
    assert found
    senders = [Sender("rachel", False), Sender("rolf", False), Sender("owen", True)]
    assert {one.name for one in senders if access.judge_sending(one, found, signer)} == refusal
    assert access.judge_sending(None, found, signer) == ""


@pytest.mark.parametrize(
    ("name", "key", "why"),
    [
        ("rolf", None, "nobody knows whose push this is"),
        (None, "ROLF", "does not count here any more"),
        ("", "", "nobody knows whose push this is"),
        ("nobody", "ROLF", "of nobody does not count here any more"),
        ("rachel", "ROLF", "of rachel does not count here any more"),
        ("rolf", "ROLF", "is pushed by rachel alone, and this connection is rolf's"),
    ],
)
def test_the_hook_refuses_a_sender_that_it_cannot_believe(
    town: Town, name: str | None, key: str | None, why: str
) -> None:
    """By a push through the file system, which can set the variables."""
    print_ = ok("ssh-keygen", "-l", "-f", f"{town.key('rolf')}.pub", cwd=town.path).split()[1]
    said = {"GITQUEUE_SENDER": name, "GITQUEUE_SENDER_KEY": print_ if key == "ROLF" else key}
    given = {variable: value for variable, value in said.items() if value is not None}
    if "pushed by" not in why:
        with pytest.raises(NotAllowed, match=why):
            admit.sender(town.site, given, time.time())
    rachel = town.desk("rachel")
    rachel.request("rachel/job", push=False)
    ended = run("git", "push", "origin", "HEAD", cwd=rachel.path, env=given)
    assert (ended.code, why in ended.err) == (1, True), ended.err


def test_a_push_by_the_sites_own_account_has_no_sender(town: Town) -> None:
    assert admit.sender(town.site, {}, time.time()) is None
    town.desk("rachel").request("rachel/job")


# Many at once


@needs_root
@pytest.mark.slow
def test_twenty_people_push_at_once_and_all_are_taken(far: Far) -> None:
    names = [f"p{number:02}" for number in range(20)]
    for name in names:
        ok("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", far.town.key(name), cwd=far.town.path)
    join(far, names)
    desk = far.desk("rachel")
    tips = {name: signed_by(desk, name, far.town.key(name)) for name in names}
    start = {name: far.git_env(name) for name in names}
    pushes = {
        name: subprocess.Popen(
            ["git", "push", "-q", far.url(), f"{tip}:refs/heads/requests/{name}/job"],
            cwd=desk.path, env={**os.environ, **start[name]}, stdout=DEVNULL, stderr=PIPE,
        )
        for name, tip in tips.items()
    }  # fmt: skip
    said = {name: push.communicate()[1].decode() for name, push in pushes.items()}
    assert {name: push.returncode for name, push in pushes.items()} == dict.fromkeys(names, 0), said
    found = far.refs()
    assert {name: found.get(f"refs/heads/requests/{name}/job") for name in names} == tips
    checked = run("git", "-c", "safe.directory=*", "fsck", "--strict", cwd=far.town.repository)
    assert (checked.code, checked.out, checked.err) == (0, "", "")


def join(far: Far, names: list[str]) -> None:
    """Add requesters, in one signed change of the site, pushed by an owner."""
    owen = far.desk("owen")
    file = owen.path / ".gitqueue" / "people.yaml"
    keys = {name: far.town.key(name).with_suffix(".pub").read_text().strip() for name in names}
    file.write_text(
        file.read_text() + "".join(f"{n}: {{roles: [requester], keys: [{{key: {k}}}]}}\n" for n, k in keys.items())
    )
    signers = policy.allowed_signers(policy.parse_people(file.read_bytes()))
    (owen.path / ".gitqueue" / "allowed_signers").write_text(signers)
    owen.git("commit", "-q", "-S", "-a", "-m", "Many people")
    owen.git("push", "-q", "origin", "approved")


def signed_by(desk: Desk, name: str, key: Path) -> str:
    """A request of somebody, made in another's clone."""
    configure(desk.path, name, key)
    desk.git("switch", "-q", "-c", name, "--no-track", "origin/approved")
    desk.write({f"jobs/{name}/job/job.yaml": JOB, f"jobs/{name}/job/main.py": MAIN})
    desk.git("add", "jobs")
    desk.git("commit", "-q", "-S", "-m", "Please")
    return desk.git("rev-parse", "HEAD")
