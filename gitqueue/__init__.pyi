"""What `import gitqueue as gq` gives, for type checkers and editors."""

from gitqueue.api.jobs import Job as Job
from gitqueue.api.jobs import JobStatus as JobStatus
from gitqueue.api.server import Server as Server
from gitqueue.api.server import create_server as create_server
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
