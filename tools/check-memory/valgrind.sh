#!/usr/bin/env bash
# Runs the tests of the kernels under valgrind's memcheck. It finds uses of values that were never
# written, accesses outside of allocated memory, and memory that is lost.
#
#     tools/check-memory/valgrind.sh [options of the test binaries, for example the name of a test]
#
# - Needs valgrind and the symbols of the C library; installs both with apt-get if they are missing.
# - valgrind knows no AVX-512 and no AMX. It reports a processor without them, so the tests go through
#   the levels up to AVX2.
# - Builds without debug assertions: with them, memory that nobody has written is filled with NaN, and
#   valgrind could not tell it from memory that was written.
# - Programs run some fifty times slower, so tests make few random cases: 3, or PROPTEST_CASES.
#
# Fails if a test fails or valgrind finds an error. Takes some ten minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v valgrind >/dev/null || ! valgrind --quiet true 2>/dev/null; then
    apt-get update && apt-get install -y --no-install-recommends valgrind libc6-dbg
fi

host=$(rustc -vV | sed -n 's/^host: //p')
runner=CARGO_TARGET_$(echo "$host" | tr 'a-z-' 'A-Z_')_RUNNER
export "$runner=valgrind --quiet --error-exitcode=99 --fair-sched=yes --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/check-memory/valgrind
export CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false
export PROPTEST_CASES=${PROPTEST_CASES:-3}

# The peaks of the machine say nothing under valgrind, and measuring them takes long.
cargo test --locked -p learned-dropout-kernels --lib --tests -- --skip peak:: "$@"
