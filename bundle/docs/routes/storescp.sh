#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Receives studies, and sends the series made of them on: storescp.sh PORT PACS_HOST PACS_PORT [synthesize options]
# Needs DCMTK and kneesynth on the path. See storescp.md.
set -eu

if [ "$1" = --study ]; then # storescp calls this when nothing more has come for a study
    study=$2 host=$3 port=$4
    shift 4
    out=$(mktemp -d)
    trap 'rm -rf "$study" "$out"' EXIT
    exec 9>"${study%/*}/lock"
    flock 9 # one study at a time
    kneesynth synthesize "$study" -o "$out/series" --all --format dicom "$@" >/dev/null
    storescu --aetitle KNEESYNTH --call "${PACS_AET:-PACS}" "$host" "$port" "$out"/series/*.dcm
    exit
fi

port=$1
shift
spool=$(mktemp -d)
trap 'rm -rf "$spool"' EXIT
trap 'kill "$receiver"' TERM INT
# Folders are named after the time: nothing that a sender says becomes part of a command.
storescp --aetitle KNEESYNTH +xa -tn -od "$spool" -ss study -tos "${QUIET_SECONDS:-30}" -xcs "$0 --study #p $*" "$port" &
receiver=$!
wait "$receiver"
