#!/usr/bin/env bash
# SPDX-License-Identifier: CC0-1.0
# Trains on one machine or several with torchrun, one rank for each GPU. Start it on every machine with the same settings;
# it waits until all of them are there. When a rank fails, all ranks start again and continue from the last checkpoint.
#
#   examples/jobs/torchrun.sh                                       # this machine, 8 GPUs
#   NODES=2 HEAD=gpu01 examples/jobs/torchrun.sh --seed 1           # on each of two machines; settings of train_clip at the end
#   RANKS=2 DEVICE=cpu examples/jobs/torchrun.sh                    # two ranks on CPU cores
set -euo pipefail

nodes=${NODES:-1}                   # machines
ranks=${RANKS:-8}                   # ranks on each machine, one for each GPU
head=${HEAD:-localhost}             # one of the machines; all others must reach it at the port
port=${PORT:-29400}
restarts=${RESTARTS:-3}             # of all ranks, after a failure of any of them
name=${NAME:-train_clip}            # runs at the same time on the same machines need different names and ports
program=${PROGRAM:-build/examples/examples/train_clip}                # the same path on every machine
config=${CONFIG:-examples/recipes/vit_b_32_cc12m.toml}
output=${OUTPUT:-runs/$name}        # on a file system that all machines share
device=${DEVICE:-cuda}              # a machine without a GPU ends the run instead of slowing it down
save_every=${SAVE_EVERY:-500}       # steps; what a killed run loses at most
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}  # torchrun would set 1

# torchrun sets RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT, which the program reads.
exec torchrun --no-python --nnodes "$nodes" --nproc-per-node "$ranks" --max-restarts "$restarts" \
  --rdzv-id "$name" --rdzv-backend c10d --rdzv-endpoint "$head:$port" \
  "$program" --config "$config" --output "$output" --resume auto --save-every "$save_every" --device "$device" "$@"
