"""The account that jobs run as: made where it is missing, and kept out of what is none of its business."""

import pwd
import subprocess

from gitqueue.adapters.settings import Site
from gitqueue.errors import OperatorNeeded

SANDBOX_USER = "gitqueue-sandbox"


def make_user_line(user: str) -> str:
    return f"useradd --system --no-create-home --shell /usr/sbin/nologin {user}"


def make_user(user: str = SANDBOX_USER) -> None:
    """Make the account that jobs run as, unless it is there. Raises OperatorNeeded with the line that makes it."""
    try:
        pwd.getpwnam(user)
        return
    except KeyError:
        done = subprocess.run(make_user_line(user).split(), capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise OperatorNeeded(f"cannot make the account {user!r}: {said}", step=make_user_line(user))


def close_to(site: Site, user: str) -> None:
    """Keep the account that jobs run as out of the repository: what breaks out of a sandbox shall find nothing of the
    site. (`private/` is the site's account's own, `spool/` must be passable.) Raises OperatorNeeded."""
    done = subprocess.run(("setfacl", "-m", f"u:{user}:---", site.repository), capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise OperatorNeeded(f"cannot keep {user!r} out of {site.repository}: {said}", step=close_line(site, user))


def close_line(site: Site, user: str) -> str:
    return f"setfacl -m u:{user}:--- {site.repository}"
