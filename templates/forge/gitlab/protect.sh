#!/bin/bash
# Sets up {{ repository }} on GitLab as settings.md tells: run it as a maintainer of the project, with `glab` logged in.
# Run it again after a change: what it made before is replaced.
set -euo pipefail
project=${1:-{{ repository }}}
key=${2:-$(dirname "$0")/../private/keys/forge.pub}
id=${project//\//%2F}
export GITLAB_HOST=${GITLAB_HOST:-{{ host }}}

glab api --method PUT "projects/$id" -f default_branch=approved -f merge_method=merge -f squash_option=never >/dev/null
if [ -f "$key" ]; then
  glab api --method POST "projects/$id/deploy_keys" -f title="gitqueue runner" -f can_push=true -f key="$(cat "$key")" >/dev/null ||
    echo "the deploy key is there already, or was not taken"
fi

# protect BRANCHES PUSH: 0 nobody, 30 developers, 40 maintainers; nobody may force
protect() {
  glab api --method DELETE "projects/$id/protected_branches/${1//\//%2F}" >/dev/null 2>&1 || true
  glab api --method POST "projects/$id/protected_branches" -f name="$1" -f push_access_level="$2" -f merge_access_level=0 \
    -f allow_force_push=false >/dev/null
}

protect approved 40
protect audit 0
protect 'results/*' 0
protect 'reviews/*' 30
echo "$project is set up; now let the deploy key push to audit and results/* (settings.md: GitLab's API sets this on paid plans only)"
