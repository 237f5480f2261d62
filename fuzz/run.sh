#!/usr/bin/env bash
# Builds the fuzz targets, runs them, and prints a table of what they did.
#
#     fuzz/run.sh [--minutes N] [--jobs N] [TARGET...]
#
# - Each target runs for N minutes (15 if left out), `--jobs` of them at a time (1 if left out). Without
#   names all run.
# - Needs a nightly compiler, a C++ compiler and `cargo install cargo-fuzz`.
# - Inputs that reach something new are kept in `fuzz/corpus/TARGET`, where the next run begins with them.
#   Inputs that fail are in `fuzz/artifacts/TARGET`, and what the fuzzer said about them in
#   `fuzz/artifacts/TARGET.log`.
# - An allocation of more than 320 MiB, more than 1 GiB of memory altogether, and more than 10 seconds for
#   one input are failures too. (A page of Parquet may have 256 MiB. The window of a zstd file may have
#   2 GiB, which are reserved at once and used as the text needs them.)
#
# Fails if a target finds something (docs/notes/fuzzing.md says what to do then), or does not run to its end.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=15
jobs=1
targets=()
while (($#)); do
    case $1 in
    --minutes) minutes=$2 && shift 2 ;;
    --jobs) jobs=$2 && shift 2 ;;
    -*) echo "unknown option $1" >&2 && exit 2 ;;
    *) targets+=("$1") && shift ;;
    esac
done
if ((${#targets[@]} == 0)); then
    for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

# The versions that are shipped.
cp Cargo.lock fuzz/Cargo.lock
cargo run --quiet --locked -p learned-dropout-fuzz-targets --example seeds
# More than one unit of code: the build would take several times as long, and fuzzing is hardly faster.
cargo +nightly fuzz build --codegen-units 16

# Every input is written to a file, so the files are in memory where there is such a folder.
place=$(mktemp -d "$([ -d /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")/fuzz-XXXXXX")
trap 'rm -rf "$place"' EXIT
export TMPDIR=$place
# What was freed is kept from use for a while, to find uses of it; by default that is 256 MiB of it.
export ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=32}

host=$(rustc -vV | sed -n 's/^host: //p')
run_target() {
    local target=$1
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target" "fuzz/seeds"
    rm -f "fuzz/artifacts/$target.status" "fuzz/artifacts/$target.log"
    local folders=("fuzz/corpus/$target")
    if [ -d "fuzz/seeds/$target" ]; then folders+=("fuzz/seeds/$target"); fi
    local most=320
    case $target in text_file | wikipedia_dump | json_*) most=2100 ;; esac
    # These targets start threads. The memory of a thread that has just ended looks lost.
    local leaks=1
    case $target in text_file | merge) leaks=0 ;; esac
    local dictionary=()
    if [ -f "fuzz/corpus/$target.dict" ]; then dictionary=("-dict=fuzz/corpus/$target.dict"); fi
    local status=0
    # The option covers the inputs, the variable the end of the process.
    ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=$leaks "fuzz/target/$2/release/$target" "${folders[@]}" "${dictionary[@]}" \
        -max_total_time=$((60 * $3)) -rss_limit_mb=1024 -malloc_limit_mb=$most -detect_leaks=$leaks -timeout=10 -max_len=65536 \
        -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 \
        >"fuzz/artifacts/$target.log" 2>&1 || status=$?
    echo "$status" >"fuzz/artifacts/$target.status"
}
export -f run_target
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I{} bash -c 'run_target "$@"' _ {} "$host" "$minutes"

echo "| target | executions | executions per second | coverage edges | corpus | findings |"
echo "|---|---|---|---|---|---|"
failed=0
for target in "${targets[@]}"; do
    log=fuzz/artifacts/$target.log
    last() { grep -ao "$1" "$log" | tail -1 | grep -o '[0-9]*$' || echo 0; }
    executions=$(last 'stat::number_of_executed_units: *[0-9]*')
    speed=$(last 'stat::average_exec_per_sec: *[0-9]*')
    edges=$(last ' cov: [0-9]*')
    corpus=$(find "fuzz/corpus/$target" -type f | wc -l)
    findings=$(find "fuzz/artifacts/$target" -type f | wc -l)
    echo "| \`$target\` | $executions | $speed | $edges | $corpus | $findings |"
    ((failed += findings)) || true
    status=$(cat "fuzz/artifacts/$target.status" || echo unknown)
    if [ "$status" != 0 ] || ((executions == 0)); then
        echo "$target ended with status $status after $executions executions; see $log" >&2
        ((failed += 1))
    fi
done
((failed == 0))
