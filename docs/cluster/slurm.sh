#!/bin/sh
#SBATCH --job-name=trainloop
#SBATCH --time=08:00:00
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
# The command itself, as a small job; it asks SLURM for the workers. From the course's folder:
#
#     sbatch docs/cluster/slurm.sh 2.1 32
#
# Stopped by the time limit? Submit it again: it goes on where it was.
set -eu
export OMP_NUM_THREADS=1
exec .venv/bin/python docs/cluster/slurm.py "$1" "$2"
