#!/bin/sh
# Grades a lesson on several machines that you reach by ssh. From the course's folder:
#
#     docs/cluster/ssh.sh 2.1 10.0.0.1 docs/cluster/hosts.txt
#
# 10.0.0.1 is this machine's address in a private network. Each line of hosts.txt is a machine and the number of its
# workers (its cores). Every machine has this course's folder, set up, at the same path; no file is shared between them.
set -eu
lesson=$1 here=$2 hosts=$3
port=${PORT:-8786}
ssh=${SSH:-ssh}
dask=$PWD/.venv/bin/dask

"$dask" scheduler --host "$here" --port "$port" --no-dashboard &
started=$!
# The workers end with the scheduler: they wait for it no longer than --death-timeout.
trap 'kill $started' EXIT INT TERM

while read -r host workers; do
    case $host in '' | '#'*) continue ;; esac
    # -n: ssh would swallow the rest of the list. OMP_NUM_THREADS: one thread for each worker, not one for each core.
    $ssh -n "$host" "OMP_NUM_THREADS=1 exec $dask worker tcp://$here:$port --nworkers $workers --nthreads 1 \
        --no-dashboard --death-timeout 30 --local-directory /tmp/trainloop-dask" &
    started="$started $!"
done < "$hosts"

.venv/bin/trainloop grade "$lesson" --scheduler "tcp://$here:$port"
