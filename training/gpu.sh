#!/usr/bin/env bash
# Train the three networks on one GPU, all in one go: bash training/gpu.sh DATA WORK SECONDS
#
# WORK holds at first the checkpoint of a reader (`training.prior read`, which needs no GPU) and a perceptor from before as
# teacher.safetensors; afterwards the three files of models/ and a log of each stage. The generator comes first, since
# the prior learns its codes; the perceptor learns beside everything else. Schedules end with their minutes.
set -euo pipefail
data=$1 work=$2 seconds=$3 began=$SECONDS
config=${CONFIG:-gpu} device=${DEVICE:-cuda}

left() { # minutes until so many seconds before the end
  python3 -c "print(max(0, $seconds - $1 - ($SECONDS - $began)) / 60)"
}
stage() { # name of the log, module and its arguments
  local log=$1
  shift
  python3 -m "training.$@" --data "$data" --work "$work" --config "$config" --device "$device" --threads 2 --finish \
    >"$work/$log.log" 2>&1
}

stage perceptor perceptor --minutes "$(left 15)" &
stage codec codec --minutes "$(python3 -c "print($seconds * 0.37 / 60)")"
stage encode prior encode --minutes "$(left 120)" &
stage remember prior remember
until compgen -G "$work/codes-*.npz" >/dev/null; do sleep 1; done
stage paint prior paint --minutes "$(left 15)" &
stage refine refine --minutes "$(left 15)" &
wait
cp "$work/refined.safetensors" "$work/embedded-generator.safetensors"
tail -n 3 "$work"/*.log
