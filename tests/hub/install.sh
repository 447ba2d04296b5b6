#!/bin/bash
# Installs, once, what package.json names, in a folder for this machine's user, and prints where it is. A minute.
set -euo pipefail
cd "$(dirname "$0")"
folder=${XDG_CACHE_HOME:-$HOME/.cache}/gitqueue/node-$(sha256sum package.json | cut -c -12)
mkdir -p "${folder%/*}"
exec 9>"$folder.lock"
flock 9
if [ ! -d "$folder" ]; then
  rm -rf "$folder.new"
  mkdir "$folder.new"
  cp package.json "$folder.new"
  npm install --prefix "$folder.new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  # 370 MB of descriptions that nobody reads here
  find "$folder.new/node_modules/@octokit/openapi/generated" -name '*.json' ! -name api.github.com.json -delete
  mv "$folder.new" "$folder"
fi
echo "$folder"
