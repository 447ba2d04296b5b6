#!/bin/bash
# Sets up {{ repository }} on Gitea or Forgejo as settings.md tells. TOKEN: an access token of an administrator of the
# repository that may write to it (scope write:repository). Run it again after a change: what it made before is replaced.
set -euo pipefail
repository=${1:-{{ repository }}}
key=${2:-$(dirname "$0")/../private/keys/forge.pub}
api=${API:-https://{{ host }}/api/v1}/repos/$repository

call() { # METHOD PATH [JSON]: the token goes by standard input, where no list of processes shows it
  printf 'header = "Authorization: token %s"\n' "${TOKEN:?an access token}" |
    curl --config - --silent --show-error --fail --request "$1" --header 'Content-Type: application/json' ${3:+--data "$3"} "$api$2"
}
call PATCH "" '{"default_branch": "approved", "allow_squash_merge": false, "allow_rebase": false, "allow_rebase_explicit": false,
  "allow_fast_forward_only_merge": false, "allow_merge_commits": true}' >/dev/null
if [ -f "$key" ]; then
  call POST /keys "{\"title\": \"gitqueue runner\", \"read_only\": false, \"key\": \"$(cat "$key")\"}" >/dev/null ||
    echo "the deploy key is there already, or was not taken"
fi

# protect RULE PUSH: who may push; nobody may force or delete
protect() {
  call DELETE "/branch_protections/${1//\//%2F}" >/dev/null 2>&1 || true
  call POST /branch_protections "{\"rule_name\": \"$1\", $2}" >/dev/null
}
owners=${OWNERS:-\"$(cut -d/ -f1 <<<"$repository")\"}
protect approved "\"enable_push\": true, \"enable_push_whitelist\": true, \"push_whitelist_usernames\": [$owners], \"enable_merge_whitelist\": true"
protect audit '"enable_push": true, "enable_push_whitelist": true, "push_whitelist_deploy_keys": true'
protect 'results/**' '"enable_push": true, "enable_push_whitelist": true, "push_whitelist_deploy_keys": true'
protect 'reviews/**' '"enable_push": true'
echo "$repository is set up"
