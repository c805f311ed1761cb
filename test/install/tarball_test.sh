#!/bin/sh
# The tarball of a release is the same whoever makes it, and holds every file of the commit.
. "${0%/*}/support.sh"
needs git cmake ninja gzip tar sha256sum
git -C "$SOURCE" rev-parse -q --verify HEAD >"$scratch/said" 2>&1 || skip 'the repository'
version=$(sed -n 's/^#define MS_VERSION "\(.*\)"$/\1/p' "$SOURCE/include/multiserver.h")
name=multiserver-$version

one=$(umask 022 && TZ=UTC "$SOURCE/scripts/tarball" HEAD "$scratch/one")
other=$(umask 077 && cd / && TZ=Asia/Tokyo LC_ALL=C GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=tar.umask GIT_CONFIG_VALUE_0=0002 \
  "$SOURCE/scripts/tarball" HEAD "$scratch/other")
cmp "$scratch/one/$name.tar.gz" "$scratch/other/$name.tar.gz" || fail 'made twice, it is another'
[ "$one" = "$other" ] || fail 'the sums differ:' "$one" "$other"
(cd "$scratch/one" && echo "$one" | sha256sum -c --quiet) || fail 'the sum is wrong:' "$one"

tar -xzf "$scratch/one/$name.tar.gz" -C "$scratch"
git -C "$SOURCE" ls-tree -r --name-only HEAD | LC_ALL=C sort >"$scratch/tracked"
files_of "$scratch/$name" | diff -u "$scratch/tracked" - || fail 'it holds other files than the commit'
quietly cmake -S "$scratch/$name" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
  -DCMAKE_C_COMPILER="$CC"

# A tag says which version it is.
mkdir "$scratch/repository"
(
  cd "$scratch/repository"
  export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
  mkdir scripts
  cp "$SOURCE/scripts/tarball" scripts
  cp "$SOURCE/CMakeLists.txt" .
  quietly git init -q .
  quietly git add .
  quietly git -c user.name=test -c user.email=test@example.org commit -qm release
  quietly git tag "v$version"
  quietly git tag v99.0.0
  quietly ./scripts/tarball "v$version" "$scratch/tagged"
  ! ./scripts/tarball v99.0.0 "$scratch/tagged" 2>"$scratch/said" || fail 'v99.0.0 passes for another version'
  grep -q "v99.0.0 holds version $version" "$scratch/said" || fail 'it does not say why:' "$(cat "$scratch/said")"
)
echo "$(wc -l <"$scratch/tracked") files"
