#!/usr/bin/env bash
# Collects every Python package that a device needs, as wheels for its Python and its processor.
#
#     systemd/wheelhouse.sh FOLDER PYTHON MACHINE     such as: work/wheelhouse/3.10-aarch64 3.10 aarch64
#
# This machine may be of another kind, since nothing is compiled; $PIP is the pip that is used. No torch, no
# tests: what pyproject.toml names as dependencies, in the versions of constraints.txt.
set -euo pipefail

folder=$1 python=$2 machine=$3
read -ra pip <<<"${PIP:-python3 -m pip}"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# pip takes only wheels for another machine. What comes as source alone is plain Python, of any machine.
"${pip[@]}" wheel --quiet --no-deps --wheel-dir "$scratch" -c constraints.txt sdnotify

# What tremorscope itself depends on, by its own metadata: a wheel of it that is not kept.
systemd/tremorscope_wheel.sh "$scratch/own"

# The oldest C library that may be there: Ubuntu 22.04's is 2.35.
platforms=()
for version in 2_5 2_12 2_17 2_24 2_26 2_27 2_28 2_31 2_34 2_35; do
    platforms+=(--platform "manylinux_${version}_$machine")
done
platforms+=(--platform "manylinux2014_$machine")
"${pip[@]}" download --quiet --dest "$scratch" --only-binary=:all: \
    --python-version "$python" --implementation cp "${platforms[@]}" \
    --find-links "$scratch" -c constraints.txt "$scratch"/own/tremorscope-*.whl pip

rm -rf "$folder" "$scratch/own" "$scratch"/tremorscope-*.whl
mkdir -p "$(dirname "$folder")"
mv "$scratch" "$folder"
chmod 755 "$folder"
echo "$folder: $(find "$folder" -name '*.whl' | wc -l) wheels, $(du -sm "$folder" | cut -f1) MB"
