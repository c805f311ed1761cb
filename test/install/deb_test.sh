#!/bin/sh
# Builds the Debian packages, looks at what is in them, and uses what they would install from a
# folder. As root, with MS_TEST_DEB_INSTALL=1, it installs them on this machine too, and removes
# them.
. "${0%/*}/support.sh"
needs dpkg-deb dpkg-shlibdeps dpkg-buildflags file pkg-config readelf objdump
packages=${TREE%/*}/install-deb
root=$scratch/root
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
arch=$(dpkg --print-architecture)
lib=usr/lib/$triplet

export CC
quietly "$SOURCE/scripts/deb" "$packages"
version=$(sed -n 's/^#define MS_VERSION "\(.*\)"$/\1/p' "$SOURCE/include/multiserver.h")

# field PACKAGE NAME: one of the control file's.
field() {
  dpkg-deb -f "$packages/$1_${version}-1_$arch.deb" "$2"
}

# says PACKAGE NAME PATTERN
says() {
  field "$1" "$2" | grep -q -e "$3" || fail "$1 has the wrong $2:" "$(field "$1" "$2")"
}

# holds PACKAGE FILE...: exactly these, beside what every package has.
holds() {
  package=$1
  shift
  mkdir -p "$scratch/$package" "$root"
  dpkg-deb -x "$packages/${package}_${version}-1_$arch.deb" "$scratch/$package"
  expect_files "$scratch/$package" "usr/share/doc/$package/copyright" \
    "usr/share/doc/$package/changelog.Debian.gz" "usr/share/doc/$package/changelog.gz" "$@"
  dpkg-deb -x "$packages/${package}_${version}-1_$arch.deb" "$root"
  says "$package" Version "^$version-1\$"
  says "$package" Maintainer '^multiserver maintainers <'
  says "$package" Description '^one interface over many protocols: '
}

holds libmultiserver0 "$lib/libmultiserver.so.0" "$lib/libmultiserver.so.$version"
holds libmultiserver-dev "$lib/libmultiserver.so" "$lib/libmultiserver.a" \
  usr/include/multiserver.h "$lib/pkgconfig/multiserver.pc" \
  "$lib/cmake/multiserver/multiserver-config.cmake" \
  "$lib/cmake/multiserver/multiserver-config-version.cmake" \
  "$lib/cmake/multiserver/multiserver-targets.cmake" \
  "$lib/cmake/multiserver/multiserver-targets-release.cmake" \
  usr/share/man/man3/libmultiserver.3.gz usr/share/doc/libmultiserver-dev/docs/behaviours.md \
  $(cd "$SOURCE" && printf "usr/share/doc/libmultiserver-dev/%s\n" examples/*.c)
holds multiserver usr/bin/multiserver usr/share/man/man1/multiserver.1.gz \
  usr/share/bash-completion/completions/multiserver usr/share/zsh/vendor-completions/_multiserver \
  usr/share/fish/vendor_completions.d/multiserver.fish \
  usr/lib/systemd/system/multiserver.service usr/lib/systemd/system/multiserver.socket \
  usr/share/doc/multiserver/README.md usr/share/doc/multiserver/SECURITY.md \
  usr/share/doc/multiserver/docs/operating.md usr/share/doc/multiserver/docs/fronts.md
gzip -dc "$root/usr/share/doc/multiserver/changelog.gz" | cmp - "$SOURCE/CHANGELOG.md" || fail 'changelog.gz is another'
grep -q '^License: Expat$' "$root/usr/share/doc/multiserver/copyright" || fail 'copyright names no licence'

# Nothing runs when a package is installed but ldconfig: no unit is enabled or started.
for package in multiserver libmultiserver-dev libmultiserver0; do
  dpkg-deb -e "$packages/${package}_${version}-1_$arch.deb" "$scratch/control-$package"
  for script in "$scratch/control-$package"/preinst "$scratch/control-$package"/postinst; do
    [ -e "$script" ] || continue
    ! grep -vE '^[[:space:]]*(#.*|set -e|if .*; then|ldconfig|fi)?$' "$script" || fail "${script##*/} of $package does more than ldconfig"
  done
done
cmp "$scratch/control-multiserver/prerm" "$SOURCE/cmake/debian/prerm" || fail 'multiserver is not stopped when it is removed'
[ -z "$(find "$root" -path '*.wants*' -o -path '*/system-preset*')" ] || fail 'a package enables a unit'

says libmultiserver0 Depends '\blibsodium23\b'
says libmultiserver0 Depends '\blibssl3\(t64\)\?\b'
says libmultiserver0 Depends '\blibhttp-parser2\.9\b'
says libmultiserver0 Depends '\blibuv1\(t64\)\?\b'
says multiserver Depends '\blibjansson4\b'
says multiserver Section '^net$'
for need in "libmultiserver0 (= $version-1)" libuv1-dev libsodium-dev libssl-dev libhttp-parser-dev; do
  says libmultiserver-dev Depends "$need"
done
dpkg-deb -I "$packages/libmultiserver0_${version}-1_$arch.deb" shlibs | grep -q "^libmultiserver 0 libmultiserver0 (>= $version)\$" ||
  fail 'libmultiserver0 does not say in shlibs who needs it'
for dir in "$packages" "$SOURCE"; do
  ! grep -rlF "$dir" "$root" || fail "these files name $dir"
done
hardened "$root/usr/bin/multiserver" PIE
hardened "$root/$lib/libmultiserver.so.$version"
gzip -t "$root"/usr/share/man/man?/*.gz "$root"/usr/share/doc/*/*.gz

# works ROOT: the command runs, and a program is built and runs.
works() {
  quietly "$1/usr/bin/multiserver" --version
  "$1/usr/bin/multiserver" keygen "$scratch/secret" >"$scratch/key"
  "$1/usr/bin/multiserver" id --key "$scratch/secret" | diff - "$scratch/key" || fail 'the command does not know its key'
  rm "$scratch/secret"
  # shellcheck disable=SC2046 # flags
  quietly "$CC" $(pkg-config --cflags multiserver) "$SOURCE/test/install/embed.c" -o "$scratch/embed" \
    $(pkg-config --libs multiserver)
  ldd "$scratch/embed" | grep -qE "libmultiserver.so.0 => $1(/usr)?/lib/" ||
    fail 'the program uses another library:' "$(ldd "$scratch/embed")"
  quietly timeout 60 "$scratch/embed"
}

(
  export PKG_CONFIG_PATH="$root/$lib/pkgconfig" LD_LIBRARY_PATH="$root/$lib"
  works "$root"
)

if [ "${MS_TEST_DEB_INSTALL-}" = 1 ]; then
  [ "$(id -u)" -eq 0 ] || fail 'MS_TEST_DEB_INSTALL=1 asks for root'
  ! dpkg -s multiserver >/dev/null 2>&1 || fail 'multiserver is installed on this machine already'
  quietly apt-get install -y --no-install-recommends "$packages"/*.deb
  trap 'apt-get purge -y multiserver libmultiserver-dev libmultiserver0 >/dev/null; rm -rf "$scratch"' EXIT
  works ''
fi
