#!/usr/bin/env bash
# run.sh <librnncore.a> <seconds>: builds the fuzz target and runs it on the kept corpus. The reader's sources are compiled
# with sanitizers; all else, which reading a file does not run, comes from the library.
set -euo pipefail
library=$(realpath "$1") seconds=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${CLANGXX:-clang++}" -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
  -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -DRNNCORE_VERSION='"fuzz"' -I"$root/src" -I"$root/include" \
  "$root"/tests/fuzz/fuzz_model.cpp "$root"/src/rnncore/files/*.cpp "$root"/src/rnncore/model/{file,json,model}.cpp \
  "$library" -lgomp -lpthread -o "$work/fuzz_model"
mkdir "$work/found"
"$work/fuzz_model" -max_total_time="$seconds" -max_len=8192 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
  "$work/found" "$root/tests/fuzz/corpus" "$root"/tests/data/golden_*
