"""Within the root: a deploy key of a project, with write access: PROJECT OWNER; its public line on standard input."""

import sys

import pagure.config
import pagure.lib.query as query

name, owner = sys.argv[1:]
config, key = pagure.config.config, sys.stdin.read().strip()
session = query.create_session(config["DB_URL"])
project, creator = query.get_authorized_project(session, name, asuser=owner), query.get_user(session, owner)
query.add_sshkey_to_project_or_user(session, ssh_key=key, pushaccess=True, creator=creator, project=project)
session.commit()
who = f"deploykey_{name}_{project.deploykeys[-1].id}"
with open("/var/lib/pagure/authorized_keys", "a") as lines:
    lines.write(f"{config['SSH_KEYS_OPTIONS'] % {'username': who}} {key}\n")
