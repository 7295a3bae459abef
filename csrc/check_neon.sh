#!/bin/sh
# Builds the NEON rows with a cross compiler and compares them with the functors under emulation.
# Wants aarch64-linux-gnu-g++ and qemu-aarch64-static (Debian: g++-aarch64-linux-gnu, qemu-user-static).
set -eu
cd "$(dirname "$0")"
mkdir -p ../build
aarch64-linux-gnu-g++ -std=c++17 -O2 -ffp-contract=off -Wall -Wextra -Werror -static -DACUTANCE_ROWS_NEON \
  check_rows.cpp rows_neon.cpp -o ../build/check_neon
qemu-aarch64-static ../build/check_neon
