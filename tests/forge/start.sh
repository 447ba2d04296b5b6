#!/bin/bash
# Within the root, as its first process: database, people, and then what a Pagure is made of.
set -euo pipefail
cd /var/lib/pagure
export PAGURE_CONFIG=/var/lib/pagure/pagure.cfg HOME=/var/lib/pagure PYTHONWARNINGS=ignore
chown -R _pagure:_pagure .
as() { setpriv --reuid=_pagure --regid=_pagure --init-groups "$@"; }
as mkdir -p repositories remotes attachments releases pseudo redis
ssh-keygen -q -t ed25519 -N '' -f host
mkdir -p /run/sshd
cat >sshd_config <<END
ListenAddress 127.0.0.1:$SSH
HostKey $PWD/host
PidFile none
AllowUsers _pagure
PasswordAuthentication no
UsePAM no
AuthorizedKeysFile $PWD/authorized_keys
SetEnv PAGURE_CONFIG=$PAGURE_CONFIG PYTHONWARNINGS=ignore WEB=$WEB SSH=$SSH REDIS=$REDIS
END
as python3 /usr/share/pagure/createdb.py -c "$PAGURE_CONFIG" >createdb.log 2>&1
as python3 people.py
as redis-server --bind 127.0.0.1 --port "$REDIS" --dir "$PWD/redis" --save '' >redis.log 2>&1 &
as celery -A pagure.lib.tasks worker --concurrency=2 --without-gossip --without-mingle >worker.log 2>&1 &
/usr/sbin/sshd -D -e -f sshd_config 2>sshd.log &
as gunicorn --workers 1 --threads 4 --bind "127.0.0.1:$WEB" 'pagure.flask_app:create_app()' >web.log 2>&1 &
wait -n
