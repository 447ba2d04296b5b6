"""gitqueue: have code run next to data that nobody may see. Reviewed, approved and proved in git."""

__version__ = "0.1.0"
