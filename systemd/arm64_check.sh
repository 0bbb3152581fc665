#!/usr/bin/env bash
# Installs the package on a Debian for 64-bit ARM and runs the demo there, under an emulator of its processor.
#
#     systemd/arm64_check.sh PACKAGE FOLDER           for root; the Debian is made in FOLDER and kept
#
# Needs Debian's mmdebstrap and qemu-user-static, with binfmt-support. Says how long each step took.
set -euo pipefail

package=$1 folder=$2
root=$folder/bookworm-arm64

timed() {
    local begin=$SECONDS
    "${@:2}"
    echo "$1: $((SECONDS - begin)) s"
}

make_root() {
    rm -rf "$root"
    mmdebstrap --quiet --variant=minbase --architectures=arm64 --dpkgopt=force-unsafe-io \
        --include=systemd,python3,libgl1,libglib2.0-0 bookworm "$root.new"
    mv "$root.new" "$root"
}

# With a network of its own, so that no other program takes the demo's port while the emulator is slow.
inside() {
    # shellcheck disable=SC2016
    unshare --mount --pid --net --fork --mount-proc="$root/proc" sh -c '
        ip link set lo up
        exec chroot "$@"' sh "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv LANG=C.UTF-8 "$@"
}

mkdir -p "$folder"
[ -d "$root" ] || timed "the Debian" make_root
cp "$package" "$root/srv/tremorscope.deb"
echo "on $(inside uname -m) with $(inside python3 --version):"
timed "installation" inside dpkg --install /srv/tremorscope.deb
timed "tremorscope demo" inside sh -c 'cd /srv && tremorscope demo'
timed "purge" inside dpkg --purge tremorscope
rm "$root/srv/tremorscope.deb"
