"""gitqueue: have code run next to data that nobody may see. Reviewed, approved and proved in git."""

__version__ = "0.1.0"

# Hooks import this package, too: what people use of it is imported when they name it. Types: __init__.pyi.
_PUBLIC = {
    "Client": "sister",
    "Job": "jobs",
    "JobStatus": "jobs",
    "Server": "server",
    "Site": "sites",
    "approve": "sister",
    "connect": "sites",
    "create_client": "sister",
    "create_server": "server",
    "function": "requests",
    "get_job": "sister",
    "get_job_logs": "sister",
    "get_job_output": "sister",
    "inspect_job": "sister",
    "jobs_for_me": "sister",
    "my_jobs": "sister",
    "pending_for_me": "sister",
    "reject": "sister",
    "submit_bash": "sister",
    "submit_job": "sister",
    "submit_python": "sister",
    "wait_for_completion": "sister",
}
_ERRORS = (
    "GitqueueError",
    "JobCancelled",
    "JobFailed",
    "JobRejected",
    "Mistake",
    "No",
    "NotAllowed",
    "OperatorNeeded",
    "ResultsWithheld",
    "Tampered",
    "TimedOut",
)


def __getattr__(name: str) -> object:
    place = "errors" if name in _ERRORS else f"api.{_PUBLIC[name]}" if name in _PUBLIC else None
    if place is None:
        raise AttributeError(f"module 'gitqueue' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"gitqueue.{place}"), name)


def __dir__() -> list[str]:
    return sorted([*_PUBLIC, *_ERRORS, "__version__"])
