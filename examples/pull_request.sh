#!/bin/bash
# Makes, in a new folder, a site that a forge hosts (here a bare repository), a pull request from a fork, and a checkout of
# that as GitHub's workflows make one. `gitqueue` must be on the search path.
#
#     examples/pull_request.sh FOLDER     then: FOLDER/checkout, with the pull request's head in FOLDER/commit, and all that
#                                         the forge has as one file, FOLDER/site.bundle
set -euo pipefail
mkdir -p "$1" && cd "$1"
# Whoever asks chooses these words; none of them may ever be run.
title='$(touch pwned) `touch pwned` ${{ github.token }} "; touch pwned; "'

sign() { # FOLDER NAME: git's own settings for signing there
  git -C "$1" config user.name "$2" && git -C "$1" config user.email "$2@uni.example"
  git -C "$1" config gpg.format ssh && git -C "$1" config user.signingkey "$PWD/$2.pub"
}
for name in owen rachel; do ssh-keygen -q -t ed25519 -N '' -f "$name"; done
git init --quiet --bare --initial-branch=approved forge.git
gitqueue init centre --owner owen --email owen@uni.example --key owen.pub --remote "$PWD/forge.git"
gitqueue clone "$PWD/forge.git" owen-desk && sign owen-desk owen
printf 'patient_id,radius\nm1,10\nm2,20\nm3,12\nm4,14\n' >mock.csv
gitqueue -C owen-desk person add rachel --email rachel@uni.example --key rachel.pub
gitqueue -C owen-desk dataset add cancer --title Cancer --mock features="$PWD/mock.csv"

git clone --quiet forge.git fork && sign fork rachel
git -C fork switch --quiet -c 'requests/rachel/mean'
mkdir -p fork/jobs/rachel/mean
cat >fork/jobs/rachel/mean/job.yaml <<'END'
name: Mean radius
run: python main.py
datasets: [cancer]
outputs: [mean.txt]
END
cat >fork/jobs/rachel/mean/main.py <<'END'
import csv, os
rows = list(csv.DictReader(open(os.environ["GITQUEUE_DATA"] + "/cancer/mock.csv")))
print("``` @everyone [click](https://evil.example)")
mean = sum(float(row["radius"]) for row in rows) / len(rows)
open(os.environ["GITQUEUE_OUTPUT"] + "/mean.txt", "w").write(f"{mean}\n")
END
git -C fork add jobs
git -C fork commit --quiet -S -m "$title"
git -C fork push --quiet origin HEAD:refs/pull/42/head
git -C fork rev-parse HEAD >commit

git init --quiet checkout
git -C checkout fetch --quiet "$PWD/forge.git" '+refs/heads/*:refs/remotes/origin/*' '+refs/pull/42/head:refs/remotes/pull/42'
git -C checkout remote add origin "$PWD/forge.git"
git -C checkout checkout --quiet --detach "$(cat commit)"
git -C forge.git bundle create --quiet "$PWD/site.bundle" --all
