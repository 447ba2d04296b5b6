#!/bin/bash
# Sets up {{ repository }} on GitHub as settings.md tells: run it as an administrator of the repository, with `gh` logged in.
# Run it again after a change: what it made before is replaced.
set -euo pipefail
repository=${1:-{{ repository }}}
key=${2:-$(dirname "$0")/../private/keys/forge.pub}

# The default branch is the chain, and the button can only merge, which never counts as an approval either.
gh api --silent --method PATCH "repos/$repository" -f default_branch=approved \
  -F allow_merge_commit=true -F allow_squash_merge=false -F allow_rebase_merge=false -F allow_auto_merge=false

# What workflows may do unless they ask for more, and whose pull requests wait for a yes before theirs run.
gh api --silent --method PUT "repos/$repository/actions/permissions/workflow" \
  -f default_workflow_permissions=read -F can_approve_pull_request_reviews=false
gh api --silent --method PUT "repos/$repository/actions/permissions/fork-pr-contributor-approval" \
  -f approval_policy=all_external_contributors

# The runner's way in: it reads, and writes results/**, audit, reviews/** and requests/** of pull requests.
if [ -f "$key" ] && ! gh repo deploy-key list --repo "$repository" | grep -qF "$(cut -d' ' -f2 "$key")"; then
  gh repo deploy-key add "$key" --repo "$repository" --title "gitqueue runner" --allow-write
fi

# ruleset NAME TARGET CONDITIONS RULES BYPASS
ruleset() {
  local id
  id=$(gh api "repos/$repository/rulesets" --jq ".[] | select(.name == \"$1\") | .id")
  [ -z "$id" ] || gh api --silent --method DELETE "repos/$repository/rulesets/$id"
  gh api --silent --method POST "repos/$repository/rulesets" --input - <<END
{"name": "$1", "target": "$2", "enforcement": "active",
 "conditions": {"ref_name": $3}, "rules": [$4], "bypass_actors": [$5]}
END
}

forward='{"type": "deletion"}, {"type": "non_fast_forward"}'
# Repository roles: 2 is "maintain", 5 "admin". Give owners of the site the role "maintain", requesters at most "write".
owners='{"actor_type": "RepositoryRole", "actor_id": 2, "bypass_mode": "always"},
        {"actor_type": "RepositoryRole", "actor_id": 5, "bypass_mode": "always"}'
runner='{"actor_type": "DeployKey", "actor_id": null, "bypass_mode": "always"}'
all='"refs/heads/approved", "refs/heads/audit", "refs/heads/requests/**/*", "refs/heads/reviews/**/*", "refs/heads/results/**/*"'

ruleset "gitqueue: approved goes forward" branch '{"include": ["refs/heads/approved"], "exclude": []}' "$forward" ""
ruleset "gitqueue: approved is the owners'" branch '{"include": ["refs/heads/approved"], "exclude": []}' \
  '{"type": "update"}' "$owners"
ruleset "gitqueue: conversations go forward" branch '{"include": ["refs/heads/reviews/**/*"], "exclude": []}' \
  "$forward" "$runner"
ruleset "gitqueue: results are the runner's" branch \
  '{"include": ["refs/heads/results/**/*", "refs/heads/audit"], "exclude": []}' \
  '{"type": "creation"}, {"type": "update"}, {"type": "deletion"}, {"type": "non_fast_forward"}' "$runner"
ruleset "gitqueue: no other branches" branch "{\"include\": [\"~ALL\"], \"exclude\": [$all]}" \
  '{"type": "creation"}, {"type": "update"}' "$owners"
ruleset "gitqueue: no tags" tag '{"include": ["~ALL"], "exclude": []}' '{"type": "creation"}, {"type": "update"}' ""
echo "$repository is set up; what it cannot show by script stands in settings.md"
