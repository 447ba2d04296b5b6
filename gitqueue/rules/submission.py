"""What a job's files must be: the same rule, the same words at home (`check`), at the gate and before the run."""

from collections.abc import Mapping, Sequence

from gitqueue.errors import GitqueueError
from gitqueue.refs import JobId
from gitqueue.rules import manifest, tree
from gitqueue.rules.policy import Dataset, Policy

MOST_REFS = 250  # that one push may move: as many as one entry of the audit can name, and judged in about a second


def judge(files: Sequence[tree.File], job: JobId, policy: Policy, datasets: Mapping[str, Dataset]) -> tuple[str, ...]:
    """All reasons against a job's files, whose contents are at hand unless there are too many bytes of them."""
    caps = tree.Caps(policy.requests.size, policy.requests.files)
    by_path = {file.path: file.content for file in files if file.content is not None}
    if files and not by_path:
        return tree.judge(files, caps)
    try:
        asked = manifest.read(job, by_path.get("job.yaml"), by_path.get("run.sh"))
    except GitqueueError as error:
        return (*tree.judge(files, caps), *error.reasons)
    requirements = by_path.get(asked.environment) if asked.environment else None
    return (
        *tree.judge(files, caps, manifest.command(asked)),
        *manifest.judge(asked, policy, datasets, tuple(by_path), requirements),
    )
