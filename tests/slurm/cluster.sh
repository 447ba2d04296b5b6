#!/bin/sh
# A Slurm of two nodes on this one machine, for tests: no systemd, nothing outside its folder, loopback only. As root.
#
#     tests/slurm/cluster.sh start DIR      then: export SLURM_CONF=DIR/slurm.conf
#     tests/slurm/cluster.sh stop DIR       touches only what this folder's pid files name, and removes the folder
#
# PORT is the first of four free ports (default: 16817), CPUS and MEM (in MB) what each node claims to have.
set -eu

dir=${2:?start or stop, and a folder}
port=${PORT:-16817} cpus=${CPUS:-16} memory=${MEM:-64000} nodes="n1 n2"

say() { printf 'cluster: %s\n' "$*" >&2; }

install_missing() {
    command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && return
    say "installing slurm-wlm and munge"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends \
        slurm-wlm munge >/dev/null
}

as() { user=$1; shift; setpriv --reuid "$user" --regid "$user" --clear-groups "$@"; }

folders() {
    install -d -m 755 "$dir" "$dir/run"
    install -d -m 755 -o slurm -g slurm "$dir/state" "$dir/log"
    install -d -m 700 -o munge -g munge "$dir/munge"
    install -d -m 755 -o munge -g munge "$dir/socket"
}

munge() {
    dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
    chown munge:munge "$dir/munge/key"
    chmod 400 "$dir/munge/key"
    as munge munged --force --key-file="$dir/munge/key" --socket="$dir/socket/munge" --pid-file="$dir/munge/pid" \
        --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" --num-threads=4
}

# No control groups of Slurm's own: containers of CI have none to give. Short waits, since tests wait for them.
configuration() {
    cat >"$dir/slurm.conf" <<EOF
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=slurm
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/socket/munge
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/run/%n
SlurmctldPidFile=$dir/state/slurmctld.pid
SlurmdPidFile=$dir/run/%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=10000
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MessageTimeout=2
MinJobAge=300
MaxJobCount=20000
SlurmctldTimeout=30
SlurmdTimeout=60
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
NodeName=n1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=$cpus RealMemory=$memory
NodeName=n2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=$cpus RealMemory=$memory
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=1-0 DefaultTime=10 State=UP
EOF
    # A mount that is never there, and never used: found out by itself, it dies where /sys/fs/cgroup is absent.
    printf 'CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\n' >"$dir/cgroup.conf"
}

start() {
    [ ! -e "$dir/slurm.conf" ] || { say "$dir has a cluster already"; exit 1; }
    install_missing
    PATH=/usr/sbin:/usr/bin:/sbin:/bin
    folders
    munge
    configuration
    export SLURM_CONF="$dir/slurm.conf"
    as slurm slurmctld -f "$SLURM_CONF" >"$dir/log/start" 2>&1
    for node in $nodes; do
        install -d "$dir/run/$node"
        slurmd -f "$SLURM_CONF" -N "$node" >>"$dir/log/start" 2>&1
    done
    for _ in $(seq 300); do
        [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = 2 ] && return
        sleep 0.1
    done
    say "its nodes are not idle after 30 s:"
    tail -n 20 "$dir"/log/* >&2
    exit 1
}

# Processes end in this order: a slurmd that loses munge hangs.
stop() {
    export SLURM_CONF="$dir/slurm.conf"
    timeout 5 scancel --quiet --partition=main 2>/dev/null || true
    sleep 0.2
    for files in "$dir/run/*.pid" "$dir/state/slurmctld.pid" "$dir/munge/pid"; do
        pids=$(cat $files 2>/dev/null || true)
        for pid in $pids; do kill "$pid" 2>/dev/null || true; done
        for pid in $pids; do end "$pid"; done
    done
    rm -rf "$dir"
}

end() {
    for _ in $(seq 60); do
        [ -d "/proc/$1" ] && ! grep -qs '^State:.Z' "/proc/$1/status" || return 0
        sleep 0.1
    done
    kill -9 "$1" 2>/dev/null || true
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) say "start or stop, not '$1'"; exit 2 ;;
esac
