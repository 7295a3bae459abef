#!/usr/bin/env bash
# Install Debian packages that are missing: bash tools/install_debian.sh PACKAGE...
set -euo pipefail

missing=()
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "cannot install ${missing[*]}: neither root nor sudo" >&2; exit 1; }
    as_root=(sudo)
fi
command -v apt-get >/dev/null || { echo "cannot install ${missing[*]}: no apt-get; install them by hand" >&2; exit 1; }
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
