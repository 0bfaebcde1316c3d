#!/usr/bin/env bash
# Makes a tarball and a Debian package of what was built. `./build.sh package` calls it with
#   VERSION             0.1.0
#   LIB                 artifacts/lib: the libraries
#   PACKAGES            artifacts/packages: where they go
#   SOURCE_DATE_EPOCH   the time that every file gets
# The same inputs give the same bytes: names sorted, owners and times fixed, nothing of this machine in it.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

HERE=native-exports/package
SO=libgmapnative.so
export LC_ALL=C

fill() { # TEMPLATE TO_PREFIX LIBDIR_TO_PREFIX
    sed -e "s|@VERSION@|$VERSION|g" -e "s|@MAJOR@|${VERSION%%.*}|g" -e "s|@TO_PREFIX@|$2|g" -e "s|@LIBDIR_TO_PREFIX@|$3|g" "$1"
}

# tree ROOT LIBDIR TO_PREFIX: everything below a prefix; TO_PREFIX leads from the library folder to it.
tree() {
    local root=$1 libdir=$1/$2 up=$3 share=$1/share/gmapnative doc=$1/share/doc/libgmapnative
    mkdir -p "$libdir/glibc-hwcaps/x86-64-v3" "$libdir/pkgconfig" "$libdir/cmake/GmapNative" "$root/include" \
        "$share/examples" "$doc"
    install -m 644 "$LIB/$SO.1" "$libdir/$SO.1"
    install -m 644 "$LIB/glibc-hwcaps/x86-64-v3/$SO.1" "$libdir/glibc-hwcaps/x86-64-v3/$SO.1"
    install -m 644 "$LIB/libgmapnative-trace.so.1" "$libdir/libgmapnative-trace.so.1"
    ln -s "$SO.1" "$libdir/$SO"
    ln -s libgmapnative-trace.so.1 "$libdir/libgmapnative-trace.so"
    install -m 644 native-exports/include/gmap.h native-exports/include/gmap_inline.h native-exports/include/gmap.hpp \
        native-exports/include/gmap_watch.h "$root/include"
    install -D -m 755 "$LIB/../bin/gmap-top" "$root/bin/gmap-top"
    strip --remove-section=.note.gnu.build-id "$root/bin/gmap-top" # which is of debug information, with its paths
    fill $HERE/gmapnative.pc.in "../$up" "$up" >"$libdir/pkgconfig/gmapnative.pc"
    fill $HERE/GmapNativeConfig.cmake.in '' "$up" >"$libdir/cmake/GmapNative/GmapNativeConfig.cmake"
    fill $HERE/GmapNativeConfigVersion.cmake.in '' '' >"$libdir/cmake/GmapNative/GmapNativeConfigVersion.cmake"
    install -m 644 native-exports/examples/* "$share/examples"
    install -m 755 native-exports/python/gmapnative.py "$share/gmapnative.py"
    install -m 644 README.md CHANGELOG.md src/GmapNative/PROTOCOL.md "$doc"
    install -m 644 LICENSE "$doc/copyright"
}

settle() { # FOLDER: one time, and rights that no umask changed
    chmod -R u=rwX,go=rX "$1"
    find "$1" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

# The newest glibc that a symbol asks for.
glibc() {
    objdump -T "$LIB/$SO.1" "$LIB/glibc-hwcaps/x86-64-v3/$SO.1" "$LIB/libgmapnative-trace.so.1" |
        sed -n 's/.*(\{0,1\}GLIBC_\([0-9.]*\).*/\1/p' | sort --version-sort | tail -n 1
}

tarball() {
    local name=gmapnative-$VERSION-linux-x86_64
    tree "$work/$name" lib ..
    settle "$work/$name"
    tar --create --sort=name --owner=0 --group=0 --numeric-owner --format=gnu --directory "$work" "$name" |
        gzip -9 --no-name >"$PACKAGES/$name.tar.gz"
}

debian() {
    local root=$work/deb
    tree "$root/usr" lib/x86_64-linux-gnu ../..
    mkdir "$root/DEBIAN"
    fill $HERE/control.in '' '' | sed -e "s|@GLIBC@|$(glibc)|" -e "s|@KIB@|$(du --apparent-size -sk "$root/usr" | cut -f1)|" \
        >"$root/DEBIAN/control"
    echo 'activate-noawait ldconfig' >"$root/DEBIAN/triggers"
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
    settle "$root"
    dpkg-deb --root-owner-group --build -Zxz "$root" "$PACKAGES/libgmapnative_${VERSION}_amd64.deb" >/dev/null
}

export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$PACKAGES"
mkdir -p "$PACKAGES"
tarball
if command -v dpkg-deb >/dev/null; then debian; else echo 'no dpkg-deb here: the Debian package is left out' >&2; fi
shopt -s nullglob
(cd "$PACKAGES" && sha256sum -- *.tar.gz *.deb >SHA256SUMS)
