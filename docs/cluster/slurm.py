"""Grades a lesson on workers that SLURM starts: `python docs/cluster/slurm.py 2.1 32`.

Besides the course's extra "cluster" it needs dask-jobqueue (tried with 0.9.0).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dask_jobqueue import SLURMCluster

WALL_TIME = "02:00:00"  # of a job of workers
LIFETIME = "110m"  # a worker leaves before SLURM ends its job, so that no submission is cut off and blamed
STAGGER = "5m"  # and not all at the same moment
CORES = 16  # a job; one worker for each
MEMORY = "24GB"  # a job


def workers() -> SLURMCluster:
    """A scheduler in this process, and the description of a job."""
    return SLURMCluster(
        cores=CORES,
        processes=CORES,
        memory=MEMORY,
        walltime=WALL_TIME,
        worker_extra_args=["--lifetime", LIFETIME, "--lifetime-stagger", STAGGER],
        job_script_prologue=["export OMP_NUM_THREADS=1"],
        python=sys.executable,
        scheduler_options={"dashboard_address": None},
    )


def main(lesson: str, count: int) -> int:
    """Ask for `count` workers and grade on those that come."""
    with workers() as cluster:
        cluster.adapt(minimum=count, maximum=count)  # a job that has ended is asked for again
        command = [str(Path(sys.executable).with_name("trainloop")), "grade", lesson]
        return subprocess.run([*command, "--scheduler", cluster.scheduler_address]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
