#!/bin/sh
# Installs into a folder, moves it, and builds programs with what lies there: through pkg-config and
# CMake, shared and static, in C and C++.
. "${0%/*}/support.sh"
needs c++ pkg-config readelf cmake ninja
flags='-Wall -Wextra -Wpedantic -Werror'

quietly env DESTDIR="$scratch/stage" cmake --install "$TREE" --prefix /opt/multiserver
prefix=$scratch/moved
mv "$scratch/stage/opt/multiserver" "$prefix"
[ -z "$(files_of "$scratch/stage")" ] || fail 'installed outside of its prefix:' "$(files_of "$scratch/stage")"

version=$(sed -n 's/^#define MS_VERSION "\(.*\)"$/\1/p' "$prefix/include/multiserver.h")
lib=$(dirname "$(dirname "$(find "$prefix" -name multiserver.pc)")")
export PKG_CONFIG_PATH="$lib/pkgconfig"

# ---- What is there ----

[ "$(pkg-config --modversion multiserver)" = "$version" ] ||
  fail "the .pc file says $(pkg-config --modversion multiserver), the header $version"
readelf -d "$lib/libmultiserver.so" | grep -q 'SONAME.*\[libmultiserver\.so\.0\]' ||
  fail 'the SONAME is not libmultiserver.so.0:' "$(readelf -d "$lib/libmultiserver.so")"
[ "$(readlink "$lib/libmultiserver.so.0")" = "libmultiserver.so.$version" ] ||
  fail 'libmultiserver.so.0 leads elsewhere' "$(ls -l "$lib")"
for file in "$lib/libmultiserver.so" "$prefix/bin/multiserver"; do
  ! readelf -d "$file" | grep -E 'RPATH|RUNPATH' || fail "$file searches libraries by itself"
done
for unit in multiserver.service multiserver.socket; do
  cmp "$SOURCE/contrib/$unit" "$prefix/lib/systemd/system/$unit" || fail "$unit is not there"
done
for file in README.md SECURITY.md CHANGELOG.md LICENSE docs/operating.md docs/fronts.md docs/behaviours.md \
  $(cd "$SOURCE" && echo examples/*.c); do
  cmp "$SOURCE/$file" "$prefix/share/doc/multiserver/$file" || fail "$file is not there"
done
for dir in "$TREE" "$SOURCE"; do
  ! grep -rlF "$dir" "$prefix" || fail "these files name $dir"
done

# ---- Building and running ----

built=0
# runs PROGRAM shared|static: it works, with the installed library or with none.
runs() {
  case $2 in
    shared) ldd "$1" | grep -qF "libmultiserver.so.0 => $lib/" ||
      fail "$1 does not use the installed library:" "$(ldd "$1")" ;;
    static) ! ldd "$1" 2>/dev/null | grep libmultiserver || fail "$1 is not static" ;;
  esac
  quietly timeout 60 "$1"
  built=$((built + 1))
}

# Where libuv's archive has another name (Debian's libuv_a.a), "-luv" finds it here.
mkdir "$scratch/archives"
if pkg-config --exists libuv-static; then
  archive=$(pkg-config --variable=libdir libuv-static)/libuv_a.a
  [ ! -e "$archive" ] || ln -s "$archive" "$scratch/archives/libuv.a"
fi

# shellcheck disable=SC2086,SC2046 # lists of flags, split on purpose
for language in 'c11 c' 'c++17 c++'; do
  compiler="$CC"
  [ "$language" = 'c11 c' ] || compiler=c++
  std=${language% *} kind=${language#* }
  quietly $compiler -std=$std $flags $(pkg-config --cflags multiserver) -x $kind "$SOURCE/test/install/embed.c" \
    -x none -o "$scratch/$std-shared" $(pkg-config --libs multiserver)
  LD_LIBRARY_PATH=$lib runs "$scratch/$std-shared" shared
  quietly $compiler -std=$std $flags $(pkg-config --cflags multiserver) -x $kind "$SOURCE/test/install/embed.c" \
    -x none -static -o "$scratch/$std-static" -L"$scratch/archives" $(pkg-config --static --libs multiserver)
  runs "$scratch/$std-static" static
done

export CMAKE_PREFIX_PATH="$prefix"
quietly cmake -S "$SOURCE/test/install/consumer" -B "$scratch/consumer" -G Ninja \
  -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER=c++ -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags"
quietly cmake --build "$scratch/consumer" -j2
for language in c cxx; do
  runs "$scratch/consumer/$language-multiserver" shared
  runs "$scratch/consumer/$language-static" static
done

# Another minor version is another interface.
mkdir "$scratch/other"
for wanted in 0.0 0.2 1.0; do
  printf '%s\n' 'cmake_minimum_required(VERSION 3.20)' 'project(other C)' \
    "find_package(multiserver $wanted REQUIRED)" >"$scratch/other/CMakeLists.txt"
  if cmake -S "$scratch/other" -B "$scratch/other/$wanted" -G Ninja >"$scratch/said" 2>&1; then
    fail "version $version passes for $wanted"
  fi
  grep -q 'compatible with requested' "$scratch/said" || fail "not refused for its version:" "$(cat "$scratch/said")"
done
echo "$built programs built and run"
