#!/usr/bin/env bash
# Collects every Python package that a device needs, as wheels for its Python and its processor.
#
#     systemd/wheelhouse.sh FOLDER PYTHON MACHINE     such as: work/wheelhouse/3.10-aarch64 3.10 aarch64
#
# This machine may be of another kind: nothing is compiled. $PYTHON is the interpreter whose uv and pip are
# used. No torch, no tests: what pyproject.toml names as dependencies, in the versions of constraints.txt.
set -euo pipefail

folder=$1 python=$2 machine=$3
tools=${PYTHON:-python3}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/wheels"

# uv chooses the versions, as seen from the device. pip would judge "python_version < '3.11'" by its own
# Python. The oldest C library that may be there is Ubuntu 22.04's.
"$tools" -m uv pip compile --quiet --no-header --no-annotate --output-file "$scratch/chosen" \
    --constraints constraints.txt --python-version "$python" \
    --python-platform "$machine-manylinux_2_35" pyproject.toml >/dev/null
echo pip >>"$scratch/chosen"

# pip takes only wheels for another machine. What has none is plain Python; an
# environment of its own builds it, since this one may lack the package "wheel".
"$tools" -m pip wheel --quiet --no-deps --use-pep517 --wheel-dir "$scratch/wheels" "$(grep ^sdnotify "$scratch/chosen")"
platforms=(--platform "manylinux2014_$machine")
for version in {5..35}; do
    platforms+=(--platform "manylinux_2_${version}_$machine")
done
"$tools" -m pip download --quiet --no-deps --dest "$scratch/wheels" --only-binary=:all: \
    --python-version "$python" --implementation cp "${platforms[@]}" \
    --find-links "$scratch/wheels" --requirement "$scratch/chosen"

rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mv "$scratch/wheels" "$folder"
echo "$folder: $(find "$folder" -name '*.whl' | wc -l) wheels, $(du -sm "$folder" | cut -f1) MB"
