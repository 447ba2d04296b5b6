"""What the runner remembers of its forge: where it put its own refs there, and which pull requests it has judged."""

import json
from dataclasses import asdict, dataclass, field

from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded

_NAME = "forge.json"


@dataclass
class Seen:
    """`put`: ref -> where it last stood at the forge by the runner's own hand. `pulls`: a pull request's number -> its
    head that was judged, and, where that was refused, the tip of the chain then. `heard`: when the forge last answered
    (seconds since 1970), `trouble` why it does not, `wrong` what it shows that does not hold."""

    put: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, tuple[str, str]] = field(default_factory=dict)
    heard: float = 0
    trouble: str = ""
    wrong: list[str] = field(default_factory=list)


def recall(site: Site) -> Seen:
    """As it was written down. Raises OperatorNeeded where that is damaged."""
    text = site.recall(_NAME)
    try:
        kept = Seen(**json.loads(text)) if text else Seen()
        kept.pulls = {number: (head, at) for number, (head, at) in kept.pulls.items()}
        return kept
    except (ValueError, TypeError, AttributeError) as error:
        raise OperatorNeeded(
            f"what the runner remembers of the forge ({site.memory(_NAME)}) is damaged: {error}",
            step=f"rm {site.memory(_NAME)}; then what it shows of results and audit is believed only where it is ours",
        ) from error


def keep(site: Site, seen: Seen) -> None:
    site.remember(_NAME, json.dumps(asdict(seen), sort_keys=True))
