#!/usr/bin/env bash
# Install Debian packages that are missing: bash tools/install_debian.sh PACKAGE...
#
# PACKAGE may be several names with commas between them, as chromium,chromium-browser: any of them that is installed
# will do, else the first that apt-get knows is taken. Services that packages bring (orthanc) are not started.
set -euo pipefail

policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}

is_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

has_one() { # NAME,NAME...
    local name
    for name in ${1//,/ }; do is_installed "$name" && return; done
    return 1
}

known() { # NAME,NAME...: the first that can be installed
    local name
    for name in ${1//,/ }; do
        LC_ALL=C apt-cache policy "$name" 2>/dev/null | grep -q 'Candidate: [^(]' && echo "$name" && return
    done
    echo "cannot install ${1//,/ or }: apt-get knows no package of that name" >&2
    return 1
}

missing=()
for package in "$@"; do has_one "$package" || missing+=("$package"); done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "cannot install ${missing[*]}: neither root nor sudo" >&2; exit 1; }
    as_root=(sudo)
fi
command -v apt-get >/dev/null || { echo "cannot install ${missing[*]}: no apt-get; install them by hand" >&2; exit 1; }
"${as_root[@]}" apt-get update -qq
names=()
for package in "${missing[@]}"; do names+=("$(known "$package")"); done
if [ ! -e "$policy" ]; then # invoke-rc.d asks it whether it may start a service: 101 is no
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${names[@]}" >/dev/null
