#!/usr/bin/env bash
# Runs the tests of the kernels with AddressSanitizer, at every level of this processor. It finds
# accesses outside of allocated memory or of the stack, uses of freed memory, and memory that is lost.
#
#     tools/check-memory/address-sanitizer.sh [options of the test binaries, for example the name of a test]
#
# - Sanitizers are not stable yet. RUSTC_BOOTSTRAP lets the stable compiler accept the option. The
#   standard library is the ordinary one, without checks of its own.
# - The explicit target keeps the option away from build scripts and procedural macros.
# - Accesses by inline assembly (the tile unit) are not checked.
# - Tests make 16 random cases each, or PROPTEST_CASES.
#
# Fails if a test fails or the sanitizer finds an error. Takes a few minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."

export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=address"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/check-memory/address-sanitizer
export PROPTEST_CASES=${PROPTEST_CASES:-16}

cargo test --locked --target x86_64-unknown-linux-gnu -p learned-dropout-kernels --lib --tests -- "$@"
