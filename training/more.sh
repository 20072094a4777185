#!/usr/bin/env bash
# Teach the shipped pair more things on one GPU: bash training/more.sh DATA LARGE WORK SECONDS
#
# DATA is what `training.data` packs, LARGE the folder that `training.large` writes. WORK gets the perceptor, the reader,
# the upscaler, a refined decoder and a log of each stage; the generator and its codes stay. What to do then: README.md.
set -euo pipefail
data=$1 large=$2 work=$3 seconds=$4
config=${CONFIG:-gpu} device=${DEVICE:-cuda} here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$work"
cp "$large/photographs.npz" "$here/models/embedded-generator.safetensors" "$work"
cp "$here/models/embedded-perceptor.safetensors" "$work/perceptor-before.safetensors"
cp "$here/models/embedded-perceptor.safetensors" "$work/teacher.safetensors"
cp "$here/models/embedded-prior.safetensors" "$work/prior-before.safetensors"
cp "$here/models/embedded-memory.safetensors" "$work/memory-before.safetensors"

stage() { # name, config, module and its arguments
  local log=$1 chosen=$2
  shift 2
  python3 -m "training.$@" --work "$work" --config "$chosen" --device "$device" --threads 2 --finish \
    --minutes "$(python3 -c "print(($seconds - 15) / 60)")" >"$work/$log.log" 2>&1
}

stage perceptor "${CONFIG:-more}" perceptor --data "$data" &
stage read "$config" prior read --data "$data" &
stage upscaler "$config" super_resolution --data "$large/large.npz" &
stage refine "$config" refine --data "$data" &
wait
tail -n 3 "$work"/*.log
