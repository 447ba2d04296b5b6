"""How often a forge is asked: often while there is news, less in quiet times, and hardly while it fails or refuses."""

from dataclasses import dataclass, replace

_NEWS, _QUIET, _GROWTH = 5.0, 60.0, 1.5  # seconds; by how much a quiet look lengthens the next wait
_TROUBLE, _LONGEST = 10.0, 900.0
_POKED = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Looks in a row without news, and failed ones in a row."""

    quiet: int = 0
    failed: int = 0

    def news(self) -> "Pace":
        return Pace()

    def nothing(self) -> "Pace":
        return Pace(self.quiet + 1)

    def trouble(self) -> "Pace":
        return replace(self, failed=self.failed + 1)

    def wait(self, chance: float) -> float:
        """Seconds until the next look. `chance`, between 0 and 1, spreads those whom one outage has hit."""
        if self.failed:
            return float(min(_TROUBLE * 2.0 ** min(self.failed - 1, 20), _LONGEST) * (0.75 + chance / 2))
        return float(min(_NEWS * _GROWTH ** min(self.quiet, 20), _QUIET))

    def poked(self) -> float | None:
        """Seconds after the last look at which a poke is heeded; None while the forge fails: pokes would hammer it."""
        return None if self.failed else _POKED
