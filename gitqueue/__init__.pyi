"""What `import gitqueue as gq` gives, for type checkers and editors."""

from gitqueue.api.jobs import Job as Job
from gitqueue.api.jobs import JobStatus as JobStatus
from gitqueue.api.requests import function as function
from gitqueue.api.server import Server as Server
from gitqueue.api.server import create_server as create_server
from gitqueue.api.sister import Client as Client
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

# Those of a client of all sites that are known here.
_everywhere: Client
approve = _everywhere.approve
get_job = _everywhere.get_job
get_job_logs = _everywhere.get_job_logs
get_job_output = _everywhere.get_job_output
inspect_job = _everywhere.inspect_job
jobs_for_me = _everywhere.jobs_for_me
my_jobs = _everywhere.my_jobs
pending_for_me = _everywhere.pending_for_me
reject = _everywhere.reject
submit_bash = _everywhere.submit_bash
submit_job = _everywhere.submit_job
submit_python = _everywhere.submit_python
wait_for_completion = _everywhere.wait_for_completion
