#!/bin/sh
# Installs what gitqueue needs on Debian 12, Ubuntu 24.04 or later, and gitqueue itself into .venv.
#
#     examples/setup.sh          to use it, and for the demo
#     examples/setup.sh dev      to test it, too
#
# PYTHON names the interpreter of .venv where it shall not be the system's. As root or with sudo; else it prints the line
# to run. What is there already is left alone, so a second run is quick.
set -eu
cd "$(dirname "$0")/.."
extra=${1:-}

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

# What each Debian package is needed for: a program, except for the last two.
missing() {
    has bwrap      || echo bubblewrap
    has git        || echo git
    has age        || echo age
    has setfacl    || echo acl
    has ssh-keygen || echo openssh-client
    has prlimit    || echo util-linux
    has useradd    || echo passwd
    [ -x /usr/bin/python3 ] || echo python3  # the one that jobs run with: a sandbox shows /usr
    ldconfig -p 2>/dev/null | grep -q libseccomp.so.2 || /sbin/ldconfig -p | grep -q libseccomp.so.2 || echo libseccomp2
    [ -x .venv/bin/python ] || "$(python)" -c 'import ensurepip' 2>/dev/null || echo python3-venv
    if [ "$extra" = dev ]; then  # what the tests run for real, beside the rest
        has sshd    || echo openssh-server
        has gcc     || echo gcc libc6-dev
        has chromium || has google-chrome || echo chromium fonts-dejavu-core
        has Rscript || echo r-base-core
        has npm     || echo npm nodejs
        has slurmctld && has munged || echo slurm-wlm munge
        [ "$(uname -m)" != x86_64 ] || has linux.uml || echo user-mode-linux  # a kernel with control groups of version 2
    fi
}

# $PYTHON, else the system's where it is new enough, else the newest on the search path.
python() {
    [ -z "${PYTHON:-}" ] || { command -v "$PYTHON" || echo "$PYTHON"; return; }
    for one in /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3; do
        has "$one" && new_enough "$one" && { command -v "$one"; return; }
    done
    echo /usr/bin/python3
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

packages() {
    wanted=$(missing | xargs)
    [ -n "$wanted" ] || return 0
    has apt-get || stop "this machine lacks $wanted, and has no apt-get to install them with"
    line="apt-get update -qq && apt-get install -y -qq --no-install-recommends $wanted"
    say "this machine lacks $wanted"
    if [ "$(id -u)" = 0 ]; then
        root=env
    elif has sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        root="sudo env"
    else
        stop "run this as root, then try again: $line"
    fi
    say "$line"
    $root DEBIAN_FRONTEND=noninteractive sh -c "$line" >/dev/null </dev/null || stop "that failed; run it by hand: $line"
    left=$(missing | xargs)
    [ -z "$left" ] || stop "still missing after the installation: $left"
}

# "git version 2.39.5", "bubblewrap 0.8.0": is the number at least the second word?
at_least() {
    have=$("$1" --version | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1)
    [ "$(printf '%s\n%s\n' "$2" "$have" | sort -V | head -n 1)" = "$2" ] ||
        stop "$1 is $have; gitqueue needs $2 or later (Debian 12, Ubuntu 24.04 and later have it)"
}

environment() {
    chosen=$(python)
    new_enough "$chosen" || stop "$chosen is $("$chosen" --version 2>&1 | head -n 1); gitqueue needs Python 3.11 or later"
    if [ -x .venv/bin/python ] && ! new_enough .venv/bin/python; then
        stop ".venv holds $(.venv/bin/python --version 2>&1); gitqueue needs Python 3.11 or later: rm -r .venv, then again"
    fi
    # What was installed for which pyproject.toml; an installation with `dev` serves both uses.
    now=$(sha256sum pyproject.toml)
    for mark in ".venv/.installed-$extra" .venv/.installed-dev; do
        if [ -f "$mark" ] && [ "$now" = "$(cat "$mark")" ]; then return 0; fi
    done
    say "installing gitqueue into .venv, with $("$chosen" --version)"
    [ -x .venv/bin/python ] || "$chosen" -m venv .venv
    .venv/bin/python -m pip install -qq --disable-pip-version-check --editable ".${extra:+[$extra]}"
    printf '%s\n' "$now" >".venv/.installed-$extra"
}

packages
at_least git 2.39
at_least bwrap 0.8
environment
