#!/usr/bin/env bash
# Source this from an upgrade job, after the schemas of the new nova are synced and
# before its services start:
#
#   source upgrade.sh
#   cellmap_upgrade            # or: cellmap_upgrade cell1
#
# or run it with the same argument. docs/grenade.rst says what it does for each exit
# code. It reads NOVA_CONF (nova's search without it), CELLMAP (the command),
# CELLMAP_TRIES and CELLMAP_PAUSE (seconds).

# Grenade and devstack bring their own.
if ! declare -F die >/dev/null; then
    die() {
        local line=$1
        shift
        echo "[ERROR] ${BASH_SOURCE[1]}:$line $*" >&2
        exit 1
    }
fi

# Run cellmap with the job's nova.conf; it never reads the job's stdin.
cellmap_run() {
    "${CELLMAP:-cellmap}" ${NOVA_CONF:+--config-file "$NOVA_CONF"} "$@" </dev/null
}

# Run a command of cellmap again as long as it ends with 75; return its last code.
cellmap_retry() {
    local tries=${CELLMAP_TRIES:-20} code=0
    while true; do
        code=0
        cellmap_run "$@" || code=$?
        tries=$((tries - 1))
        if [[ $code -ne 75 || $tries -le 0 ]]; then
            return "$code"
        fi
        sleep "${CELLMAP_PAUSE:-30}"
    done
}

# Map the instances of a cell, or of all cells, and die unless that is complete.
cellmap_upgrade() {
    local cell=${1:-all} code=0
    cellmap_retry upgrade --cell "$cell" || code=$?
    case $code in
    0) ;;
    65) die $LINENO "cell $cell: decide about the instances that are listed above" ;;
    70) die $LINENO "cell $cell: cellmap has a fault, shown above" ;;
    75) die $LINENO "cell $cell: still not finished after ${CELLMAP_TRIES:-20} runs" ;;
    77) die $LINENO "cell $cell: a file or a database may not be read, see above" ;;
    78) die $LINENO "cell $cell: the configuration is wrong, see above" ;;
    *) die $LINENO "cell $cell: cellmap upgrade ended with $code" ;;
    esac
    cellmap_verify "$cell"
}

# Compare the cells with their mappings, and die when they differ.
cellmap_verify() {
    local cell=${1:-all} code=0
    cellmap_retry check --cell "$cell" || code=$?
    case $code in
    0) ;;
    3) die $LINENO "cell $cell: differs from its mappings, see above" ;;
    *) die $LINENO "cell $cell: cellmap check ended with $code" ;;
    esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -o errexit -o nounset -o pipefail
    cellmap_upgrade "$@"
fi
