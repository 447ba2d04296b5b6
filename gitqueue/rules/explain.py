"""The site's policy as sentences that anyone understands."""

from collections.abc import Iterator

from gitqueue.rules.policy import Policy


def sentences(policy: Policy) -> Iterator[str]:
    """What happens to a request here, in the order of its life."""
    requests, limits, wanted = policy.requests, policy.limits, policy.dependencies
    yield f"{policy.site} runs approved code next to its data."
    yield f"A request may hold {requests.files} files and {requests.size}; a requester may have {requests.open} open."
    owners = "one owner who is not" if policy.approvals == 1 else f"{policy.approvals} owners who are not"
    yield f"It runs after a signed merge by {owners} its requester."
    yield (
        f"A run gets at most {limits.time}, {limits.memory} of memory, {limits.cpus:g} cores and {limits.processes}"
        f" processes; it may write {limits.output_files} files and {limits.output}."
    )
    yield {
        "none": "Jobs bring no packages: they use the site's bare Python.",
        "locked": f"Packages come from a lock with hashes, for Python {wanted.python}: {', '.join(wanted.allow)}.",
        "any": f"Packages come by name, for Python {wanted.python}: {', '.join(wanted.allow)}.",
    }[wanted.policy]
    yield f"Outputs may be of the types {', '.join(policy.outputs.types)}."
    yield (
        f"A number in an output stands for {policy.outputs.min_count} people or more, and a table has at most"
        f" {policy.outputs.rows} rows{_rounding(policy.outputs.rounding)};"
        " checks look for what breaks this, or stands in the private data."
    )
    yield {
        "auto": "Outputs that every check could read and passed go back at once; the others wait for an owner.",
        "review": "All outputs wait for an owner.",
    }[policy.release]
    yield {
        "sealed": "Results are sealed: the requester and the owners alone can open them.",
        "plain": "Results are plain: whoever may read the site's repository may read them.",
    }[policy.results]
    yield f"A requester may have {policy.quota.running} jobs running at once."


def _rounding(to: int) -> str:
    return f"; counts are rounded to {to}" if to > 1 else ""
