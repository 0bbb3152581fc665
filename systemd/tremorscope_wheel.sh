#!/usr/bin/env bash
# Makes tremorscope's own wheel from a copy of the sources, so that no build leaves anything in them.
#
#     systemd/tremorscope_wheel.sh FOLDER             $PIP is the pip that is used
set -euo pipefail

folder=$1
read -ra pip <<<"${PIP:-python3 -m pip}"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tar --create --exclude='./.*' --exclude='./work' --exclude='./build' --exclude='./dist' \
    --exclude='*.egg-info' --exclude=__pycache__ --exclude=./tests . | tar --extract --directory "$scratch"
"${pip[@]}" wheel --quiet --no-deps --wheel-dir "$folder" "$scratch"
