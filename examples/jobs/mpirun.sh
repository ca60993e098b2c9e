#!/usr/bin/env bash
# SPDX-License-Identifier: CC0-1.0
# Trains on one machine or several with Open MPI's mpirun, one rank for each GPU. Start it on one machine, which must reach
# the others by ssh. MPI only starts the processes; they talk to each other with NCCL, or with Gloo on CPUs. When a rank fails,
# all ranks start again and continue from the last checkpoint.
#
#   examples/jobs/mpirun.sh                                         # this machine, 8 GPUs
#   HOSTS=gpu01,gpu02 examples/jobs/mpirun.sh --seed 1              # two machines; settings of train_clip at the end
#   RANKS=2 DEVICE=cpu examples/jobs/mpirun.sh                      # two ranks on CPU cores
set -euo pipefail

hosts=${HOSTS:-localhost}           # machines, separated by commas
ranks=${RANKS:-8}                   # ranks on each machine, one for each GPU
port=${PORT:-29500}
restarts=${RESTARTS:-3}             # of all ranks, after a failure of any of them
program=${PROGRAM:-$PWD/build/examples/examples/train_clip}           # the same path on every machine
config=${CONFIG:-$PWD/examples/recipes/vit_b_32_cc12m.toml}
output=${OUTPUT:-$PWD/runs/train_clip}  # on a file system that all machines share
device=${DEVICE:-cuda}              # a machine without a GPU ends the run instead of slowing it down
save_every=${SAVE_EVERY:-500}       # steps; what a killed run loses at most

# mpirun sets OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK and _LOCAL_SIZE, which the program reads. It does not say where rank 0
# is: with ppr:N:node that is the first machine of the list.
export MASTER_ADDR=${MASTER_ADDR:-${hosts%%,*}} MASTER_PORT=${MASTER_PORT:-$port}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}

IFS=, read -ra machines <<< "$hosts"
slots=$(printf "%s:$ranks," "${machines[@]}")
job=
trap 'kill "$job"; wait "$job"; exit 143' INT TERM
for ((attempt = 0; ; ++attempt)); do
  mpirun --host "${slots%,}" -np $((${#machines[@]} * ranks)) --map-by "ppr:$ranks:node" --bind-to none \
    -x MASTER_ADDR -x MASTER_PORT -x OMP_NUM_THREADS \
    "$program" --config "$config" --output "$output" --resume auto --save-every "$save_every" --device "$device" "$@" &
  job=$!
  code=0
  wait "$job" || code=$?
  if ((code == 0 || attempt == restarts)); then exit "$code"; fi
  echo "mpirun.sh: the ranks ended with $code; restart $((attempt + 1)) of $restarts"
done
