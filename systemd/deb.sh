#!/usr/bin/env bash
# Makes the Debian package from a wheelhouse; dpkg-deb packs what lies in a folder as it will lie on the device.
#
#     systemd/deb.sh WHEELHOUSE PYTHON ARCHITECTURE   such as: work/wheelhouse/3.10-aarch64 3.10 arm64
#
# Writes dist/tremorscope_VERSION_ARCHITECTURE.deb. The version names the Python that the wheels are for.
set -euo pipefail

wheelhouse=$1 python=$2 architecture=$3
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)+py${python/./}
next_python=${python%.*}.$((${python#*.} + 1))

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

install -d "$tree/DEBIAN" "$tree/opt/tremorscope/wheels" "$tree/usr/bin"
cp "$wheelhouse"/*.whl "$tree/opt/tremorscope/wheels/"
systemd/tremorscope_wheel.sh "$tree/opt/tremorscope/wheels"
ln -s /opt/tremorscope/bin/tremorscope "$tree/usr/bin/tremorscope"
install -Dm644 -t "$tree/usr/lib/systemd/system" systemd/*.service systemd/*.path systemd/*.target
install -Dm644 -t "$tree/usr/share/tremorscope" systemd/usb.conf systemd/csi.conf
install -Dm644 systemd/tremorscope.sysusers "$tree/usr/lib/sysusers.d/tremorscope.conf"
install -Dm644 systemd/tremorscope.tmpfiles "$tree/usr/lib/tmpfiles.d/tremorscope.conf"
install -Dm640 systemd/example.toml "$tree/etc/tremorscope/example.toml"
install -Dm644 -t "$tree/usr/share/doc/tremorscope" docs/*.md CHANGELOG.md
install -Dm644 LICENSE "$tree/usr/share/doc/tremorscope/copyright"

install -m755 -t "$tree/DEBIAN" systemd/debian/postinst systemd/debian/prerm systemd/debian/postrm
install -m644 -t "$tree/DEBIAN" systemd/debian/conffiles
installed_kb=$(du -sk --exclude=DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@INSTALLED_KB@/$installed_kb/" \
    -e "s/@PYTHON@/$python/" -e "s/@NEXT_PYTHON@/$next_python/" systemd/debian/control.in \
    >"$tree/DEBIAN/control"
(cd "$tree" && find opt usr etc -type f -print0 | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"

mkdir -p dist
# Wheels are compressed already.
dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree" "dist/tremorscope_${version}_$architecture.deb"
du -h "dist/tremorscope_${version}_$architecture.deb"
