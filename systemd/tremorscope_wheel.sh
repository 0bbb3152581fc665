#!/usr/bin/env bash
# Makes tremorscope's own wheel from a copy of the sources, so that no build leaves anything in them.
#
#     systemd/tremorscope_wheel.sh FOLDER             $PYTHON is the interpreter whose pip is used
set -euo pipefail

folder=$1
tools=${PYTHON:-python3}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tar --create --exclude='./.*' --exclude='./work' --exclude='./build' --exclude='./dist' \
    --exclude='*.egg-info' --exclude=__pycache__ --exclude=./tests . | tar --extract --directory "$scratch"
"$tools" -m pip wheel --quiet --no-deps --wheel-dir "$folder" "$scratch"
