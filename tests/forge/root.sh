#!/bin/bash
# Makes, once, a Debian 13 with Pagure, a forge with pull requests, in a folder of its own, and prints where it is.
# As root; some 700 MB, some minutes. Debian 12 has no Pagure. What it holds is changed by nobody afterwards.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gitqueue
root=$cache/pagure-root-1 # another number, where another list of packages is wanted
mkdir -p "$cache"
exec 9>"$root.lock"
flock 9
if [ ! -d "$root" ]; then
  command -v mmdebstrap >/dev/null || apt-get install --yes --quiet --no-install-recommends mmdebstrap debian-archive-keyring >&2
  rm -rf "$root.new"
  mmdebstrap --quiet --mode=root --format=directory --variant=minbase \
    --include=pagure,redis-server,gunicorn,openssh-server --aptopt='Acquire::Retries "3"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook='chroot "$1" usermod --password "*" _pagure' \
    trixie "$root.new" "${MIRROR:-http://deb.debian.org/debian}" >&2
  mv "$root.new" "$root"
fi
echo "$root"
