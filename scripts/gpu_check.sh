#!/usr/bin/env bash
# Checks everything that needs a GPU, in at most ten minutes: builds and runs the programs with GPU tests, looks for bad
# memory accesses and races, and measures. Needs nvcc, g++, CMake, Ninja and a CUDA build of LibTorch, and no network.
set -uo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/gpu_check.sh
Reads from the environment:
  OUT                logs and results (default build-gpu/out)
  BUILD              build folder (default build-gpu)
  CMAKE_PREFIX_PATH  where LibTorch is (default: the torch of PYTHON)
  PYTHON             the Python that has torch (default python3)
  CONTRAPUNTO_DEPS   folder with include/ for third-party headers that are not installed: nlohmann/json.hpp, catch2/,
                     CLI/, and whatever else the components need
  JOBS               number of compilers that run at once (default: one per core, at most one per 2 GB of memory)
Ends with 0 when all is well, 1 when a check failed, 2 when something needed is missing, 3 when there is no GPU.
USAGE
}
if (($#)); then
  usage
  [[ $1 == -h || $1 == --help ]] && exit 0
  exit 2
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
build=${BUILD:-build-gpu}
out=${OUT:-build-gpu/out}
python=${PYTHON:-python3}
export PATH=$PATH:/usr/local/cuda/bin
mkdir -p "$out"
summary=$out/summary.txt
: > "$summary"
failed=0
started=$SECONDS

say() { echo "gpu_check: $*" | tee -a "$summary"; }
stop() { say "$2"; exit "$1"; }
left() { echo $((570 - (SECONDS - started))); }

# step NAME COMMAND...: runs the command within the rest of the ten minutes, with its output in OUT/NAME.log.
step() {
  local name=$1 begin=$SECONDS code
  shift
  if (($(left) < 5)); then
    say "$name: not run, the ten minutes are over"
    failed=1
    return 1
  fi
  timeout "$(left)" "$@" > "$out/$name.log" 2>&1
  code=$?
  if ((code)); then
    say "$name: FAILED with $code after $((SECONDS - begin)) s; the end of $name.log:"
    tail -n 15 "$out/$name.log" | tee -a "$summary"
    failed=1
  else
    say "$name: ok, $((SECONDS - begin)) s"
  fi
  return $code
}

# loss_case NAME COMMAND...: as step, but a case that does not finish in time is not a failure; it prints as it runs.
loss_case() {
  local name=$1 code
  shift
  if (($(left) < 30)); then
    say "$name: not run, the ten minutes are nearly over"
    return
  fi
  timeout "$(($(left) - 10))" "$@" > "$out/bench_$name.log" 2> "$out/$name.errors.log"
  code=$?
  if ((code == 124)); then
    say "$name: stopped when the ten minutes were nearly over"
  elif ((code)); then
    say "$name: FAILED with $code"
    tail -n 5 "$out/$name.errors.log" | tee -a "$summary"
    failed=1
  else
    say "$name: ok"
  fi
}

# Times losses over batch sizes; then one of the sizes with kept exponentials, other dtypes and the sigmoid loss; then
# open_clip's losses, if it is installed.
loss_table() {
  local ours=("$build/benchmarks/bench_contrastive_loss" --device cuda --steps 5)
  local sizes=(8192 16384 32768 65536)
  loss_case loss_bf16 "${ours[@]}" --products bf16 --n "${sizes[@]}" 131072 262144 --d 512 768 1024
  loss_case loss_kept "${ours[@]}" --products bf16 --n 65536 --d 768 --keep-bytes 9e9
  loss_case loss_sigmoid "${ours[@]}" --loss sigmoid --products bf16 --n 65536 --d 768
  loss_case loss_distill "${ours[@]}" --loss distill --products bf16 --n 65536 --d 768
  loss_case loss_tf32 "${ours[@]}" --products tf32 --n 65536 --d 768
  local tile
  for tile in 2048 4096 16384; do
    loss_case "loss_tile_$tile" "${ours[@]}" --products bf16 --n 65536 --d 768 --rows "$tile" --columns "$tile"
  done
  "$python" -c 'import open_clip' 2>/dev/null || { say "open_clip is not installed: its losses were not timed"; return; }
  local n
  for n in "${sizes[@]}"; do
    loss_case "loss_open_clip_$n" "$python" benchmarks/contrastive_loss_open_clip.py --device cuda --products bf16 \
      --n "$n" --d 768
  done
}

gpu=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1)
[[ -n $gpu ]] || stop 3 "no GPU here (nvidia-smi finds none): nothing was checked"
say "GPU $gpu"
for tool in cmake ninja nvcc g++; do
  command -v "$tool" >/dev/null || stop 2 "$tool is missing; put it on PATH"
done
prefix=${CMAKE_PREFIX_PATH:-$("$python" -c 'import torch; print(torch.utils.cmake_prefix_path)' 2>/dev/null)}
[[ -n $prefix ]] || stop 2 "no LibTorch: set CMAKE_PREFIX_PATH, or PYTHON to one that has torch"
if [[ -z ${JOBS:-} ]]; then
  JOBS=$(nproc)
  memory_gb=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  ((JOBS > memory_gb / 2)) && JOBS=$((memory_gb / 2))
  ((JOBS > 0)) || JOBS=1
fi

# Compiles machine code for this GPU only; a machine without a GPU checks all architectures.
architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
[[ $architecture == 90 ]] && architecture=90a
options=(-G Ninja -DCMAKE_BUILD_TYPE=Release "-DCMAKE_PREFIX_PATH=$prefix" "-DPython3_EXECUTABLE=$(command -v "$python")"
  "-DCMAKE_CUDA_ARCHITECTURES=$architecture-real" -DCONTRAPUNTO_CUDA=ON "-DCONTRAPUNTO_DEPS=${CONTRAPUNTO_DEPS:-}"
  -DCONTRAPUNTO_BUILD_TESTS=ON -DCONTRAPUNTO_BUILD_EXAMPLES=OFF -DCONTRAPUNTO_BUILD_BENCHMARKS=OFF)
step configure cmake -S . -B "$build" "${options[@]}" || exit 1
ctest --test-dir "$build" -N -L gpu > "$out/list.log" 2>&1
# The ctest FOLDER/FILE_gpu is made of the program test_FOLDER.
mapfile -t names < <(sed -n 's#^ *Test *\#[0-9]*: \([A-Za-z0-9_]*\)/[A-Za-z0-9_]*_gpu$#\1#p' "$out/list.log" | sort -u)
((${#names[@]})) || stop 1 "ctest knows no test labeled gpu"
say "programs with GPU tests: ${names[*]}"
step build cmake --build "$build" --parallel "$JOBS" --target "${names[@]/#/test_}" || exit 1

step tests ctest --test-dir "$build" -L gpu --output-on-failure --timeout 200
skipped=$(grep -c '\*\*\*Skipped' "$out/tests.log" || true)
((skipped == 0)) || { say "tests: $skipped skipped although there is a GPU"; failed=1; }

kernels=$(find "$build" -name test_kernels -type f | head -n 1)
if ! command -v compute-sanitizer >/dev/null; then
  say "compute-sanitizer: not on this machine; memcheck and racecheck were not run"
elif [[ -z $kernels ]]; then
  say "compute-sanitizer: there is no test_kernels to run it on"
  failed=1
else
  for tool in memcheck racecheck; do
    timeout "$(left)" compute-sanitizer --tool "$tool" --error-exitcode 9 "$kernels" "[gpu]" > "$out/$tool.log" 2>&1
    code=$?
    if grep -qi 'device not supported' "$out/$tool.log"; then
      say "$tool: compute-sanitizer does not support this machine's driver; not run"
    elif ((code)); then
      say "$tool: FAILED with $code; the end of $tool.log:"
      tail -n 15 "$out/$tool.log" | tee -a "$summary"
      failed=1
    else
      say "$tool: $(grep -m 1 'SUMMARY' "$out/$tool.log" | sed 's/=* *//')"
    fi
  done
fi

if (($(left) > 60)) && step configure_benchmarks cmake "$build" -DCONTRAPUNTO_BUILD_BENCHMARKS=ON &&
  step build_benchmarks cmake --build "$build" --parallel "$JOBS" \
    --target bench_augment_images bench_normalize_images bench_training_step bench_contrastive_loss; then
  step bench_normalize_images "$build/benchmarks/bench_normalize_images"
  step bench_augment_images "$build/benchmarks/bench_augment_images"
  for precision in bf16 tf32; do
    step "bench_training_step_$precision" "$build/benchmarks/bench_training_step" --device cuda --model ViT-B-32 \
      --precision "$precision" --batch 512 --text-tokens 32 --steps 20
  done
  loss_table
  cat "$out"/bench_*.log | tee -a "$summary"
fi

say "$( ((failed)) && echo FAILED || echo 'all is well' ) after $((SECONDS - started)) s; logs in $out"
exit "$failed"
