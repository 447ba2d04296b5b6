"""Within the root: the forge's accounts, with a key and a token each, as `people.json` names them.

Their keys' lines for sshd are written here, as Pagure's own worker writes them; asking Pagure for each connection, as
its keyhelper does, takes it seconds.
"""

import datetime
import json
from pathlib import Path

import pagure.config
import pagure.lib.model as model
import pagure.lib.query as query

HERE = Path("/var/lib/pagure")
config = pagure.config.config
session = query.create_session(config["DB_URL"])
tokens = {}
for name, key in json.loads((HERE / "people.json").read_text()).items():
    user = query.set_up_user(session, username=name, fullname=name, default_email=f"{name}@uni.example")
    session.flush()
    query.add_sshkey_to_project_or_user(session, ssh_key=key, pushaccess=True, creator=user, user=user)
    until = datetime.date.today() + datetime.timedelta(days=2)
    query.add_token_to_user(session, None, config["USER_ACLS"], name, until, "tests")
    session.commit()
    with (HERE / "authorized_keys").open("a") as lines:
        lines.write(f"{config['SSH_KEYS_OPTIONS'] % {'username': name}} {key}\n")
    tokens[name] = session.query(model.Token).filter(model.Token.user_id == user.id).one().id
(HERE / "tokens.json").write_text(json.dumps(tokens))
