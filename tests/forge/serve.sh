#!/bin/bash
# Pagure in the root that root.sh made, on loopback alone, until this process ends: all its processes end with it.
#
#     serve.sh ROOT STATE     STATE becomes the forge's /var/lib/pagure; WEB, SSH and REDIS name its ports
set -euo pipefail
exec unshare --mount --pid --fork --kill-child=KILL bash -euc '
  mount --bind "$2" "$1/var/lib/pagure"
  mount -t proc proc "$1/proc"
  mount -t tmpfs tmpfs "$1/dev/shm"
  mount -t tmpfs -o mode=755 tmpfs "$1/run"
  mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
  exec env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 WEB="$WEB" SSH="$SSH" REDIS="$REDIS" \
    chroot "$1" /var/lib/pagure/start.sh' serve "$1" "$2"
