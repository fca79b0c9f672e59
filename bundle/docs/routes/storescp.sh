#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Receives studies, and sends the series made of them on: storescp.sh PORT PACS_HOST PACS_PORT [synthesize options]
# Needs DCMTK and kneesynth on the path. See storescp.md.
set -eu
[ $# -ge 3 ] || { echo "usage: storescp.sh PORT PACS_HOST PACS_PORT [synthesize options]" >&2; exit 2; }

if [ "$1" = --study ]; then # storescp calls this when nothing more has come for a study
    study=$2 host=$3 port=$4
    shift 4
    out=$(mktemp -d)
    trap 'rm -rf "$study" "$out"' EXIT
    exec 9>"${study%/*}/lock"
    flock 9 # one study at a time
    kneesynth synthesize "$study" -o "$out/series" --all --format dicom "$@" >/dev/null
    for wait in 10 60 0; do # the archive may be restarting; what it has already it takes again
        storescu --aetitle KNEESYNTH --call "${PACS_AET:-PACS}" "$host" "$port" "$out"/series/*.dcm && exit
        sleep "$wait"
    done
    trap 'rm -rf "$study"' EXIT
    echo "storescp.sh: $host $port took not all of the series; they are kept in $out/series" >&2
    exit 1
fi

port=$1
shift
spool=$(mktemp -d)
trap 'rm -f "$spool/lock"; rmdir "$spool" 2>/dev/null || echo "storescp.sh: unfinished studies are kept in $spool" >&2' EXIT
trap 'kill "$receiver"' TERM INT
# Folders are named after the time: nothing that a sender says becomes part of a command.
storescp --aetitle KNEESYNTH +xa -tn -od "$spool" -ss study -tos "${QUIET_SECONDS:-30}" -xcs "$0 --study #p $*" "$port" &
receiver=$!
wait "$receiver"
