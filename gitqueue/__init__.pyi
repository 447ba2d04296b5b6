"""What `import gitqueue as gq` gives, for type checkers and editors."""

from collections.abc import Sequence
from pathlib import Path

from gitqueue.api.jobs import Job as Job
from gitqueue.api.jobs import JobStatus as JobStatus
from gitqueue.api.requests import function as function
from gitqueue.api.server import Server as Server
from gitqueue.api.server import create_server as create_server
from gitqueue.api.sister import Client as Client
from gitqueue.api.sister import Listed
from gitqueue.api.sister import create_client as create_client
from gitqueue.api.sites import Site as Site
from gitqueue.api.sites import connect as connect
from gitqueue.errors import GitqueueError as GitqueueError
from gitqueue.errors import JobCancelled as JobCancelled
from gitqueue.errors import JobFailed as JobFailed
from gitqueue.errors import JobRejected as JobRejected
from gitqueue.errors import Mistake as Mistake
from gitqueue.errors import No as No
from gitqueue.errors import NotAllowed as NotAllowed
from gitqueue.errors import OperatorNeeded as OperatorNeeded
from gitqueue.errors import ResultsWithheld as ResultsWithheld
from gitqueue.errors import Tampered as Tampered
from gitqueue.errors import TimedOut as TimedOut

__version__: str

jobs_for_me: Listed
my_jobs: Listed
pending_for_me: Listed

def submit_job(
    target_email: str, code_folder: str | Path, name: str, description: str = "", tags: Sequence[str] = ()
) -> Job: ...
def submit_python(
    target_email: str,
    script_content: str,
    name: str,
    description: str = "",
    requirements: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> Job: ...
def submit_bash(
    target_email: str, script_content: str, name: str, description: str = "", tags: Sequence[str] = ()
) -> Job: ...
def get_job(job_uid: object) -> Job | None: ...
def wait_for_completion(job_uid: object, timeout: float = 600) -> Job: ...
def get_job_output(job_uid: object) -> Path | None: ...
def get_job_logs(job_uid: object) -> str | None: ...
def approve(job_uid: object, reason: str = "") -> bool: ...
def reject(job_uid: object, reason: str = ...) -> bool: ...
def inspect_job(job_uid: object) -> None: ...
