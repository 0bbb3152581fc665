#!/usr/bin/env bash
# Installs the package on a Debian for 64-bit ARM and runs the demo there, under an emulator of its processor.
#
#     systemd/arm64_check.sh PACKAGE FOLDER           for root; the Debian is made in FOLDER and kept
#
# Needs Debian's mmdebstrap, and QEMU 10.0 or newer as the machine's interpreter of arm64 programs: Debian 12's
# own 7.2 dies of a segmentation fault in the demo. On Debian 12:
#
#     apt install -t bookworm-backports qemu-user-static
#
# Says how long each step took. A step that fails, or has not ended in its time, ends the check with a sentence.
set -euo pipefail

package=$1 folder=$2
root=$folder/bookworm-arm64
registered=/proc/sys/fs/binfmt_misc/qemu-aarch64

fail() {
    echo "arm64_check: $1" >&2
    exit 1
}

# step LIMIT_S NAME COMMAND...
step() {
    local limit_s=$1 name=$2 begin=$SECONDS status=0
    timeout --kill-after=10 "$limit_s" "${@:3}" || status=$?
    case $status in
        0) echo "$name: $((SECONDS - begin)) s" ;;
        124 | 137) fail "$name has not ended within $limit_s s; the lines above tell how far it came" ;;
        *) fail "$name failed with status $status after $((SECONDS - begin)) s; the lines above tell why" ;;
    esac
}

# inside LIMIT_S NAME COMMAND...: in the Debian, with processes and a network of its own, so that all of them
# end together, and no other program takes the demo's port while the emulator is slow. A Jetson Orin's
# processor is most like this one of those that QEMU knows.
inside() {
    # shellcheck disable=SC2016
    step "$1" "$2" unshare --mount --pid --net --kill-child --mount-proc="$root/proc" sh -c '
        ip link set lo up
        mount -t sysfs sysfs "$1/sys"
        exec chroot "$@"' sh "$root" env -i QEMU_CPU=cortex-a76 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/srv LANG=C.UTF-8 "${@:3}"
}

[ -e "$registered" ] || fail "no emulator of arm64 is registered ($registered); install qemu-user-static"
qemu=$(readlink -f "$(sed -n 's/^interpreter //p' "$registered")") # its other names take no options
version=$("$qemu" --version | sed -n 's/.* version \([0-9]*\.[0-9]*\).*/\1/p')
printf '%s\n' 10.0 "$version" | sort --version-sort --check=quiet ||
    fail "$qemu is QEMU $version, which dies in the demo; 10.0 or newer is needed (bookworm-backports has it)"

mkdir -p "$folder"
if [ ! -d "$root" ]; then
    rm -rf --one-file-system "$root.new"
    step 1800 "the Debian" unshare --mount mmdebstrap --quiet --variant=minbase --architectures=arm64 \
        --dpkgopt=force-unsafe-io --include=systemd,python3,libgl1,libglib2.0-0 bookworm "$root.new"
    mv "$root.new" "$root"
fi
rm -rf --one-file-system "$root/srv/"*
cp "$package" "$root/srv/tremorscope.deb"
echo "with QEMU $version:"
inside 60 "uname" uname -m
inside 60 "python" python3 --version
inside 300 "purge of what an earlier check left" dpkg --purge tremorscope
inside 1800 "installation" dpkg --install /srv/tremorscope.deb
inside 1800 "tremorscope demo" sh -c 'cd /srv && tremorscope demo'
inside 300 "purge" dpkg --purge tremorscope
rm "$root/srv/tremorscope.deb"
