#!/bin/sh
# The program in README.md, built against the installed library by the lines that README.md shows; and
# what it exits with, whatever becomes of its connection.
. "${0%/*}/support.sh"
needs pkg-config cmake ninja
readme=$SOURCE/README.md
quietly cmake --install "$TREE" --prefix "$scratch/prefix"
lib=$(dirname "$(dirname "$(find "$scratch/prefix" -name multiserver.pc)")")
export PKG_CONFIG_PATH="$lib/pkgconfig" CMAKE_PREFIX_PATH="$scratch/prefix" LD_LIBRARY_PATH="$lib"
flags='-Wall -Wextra -Wpedantic -Werror'

# block LANGUAGE: the one block of README.md in that language.
block() {
  awk -v want="$1" '$0 == "```" { on = 0 } on; $0 == "```" want { on = 1; n++ } END { exit n != 1 }' "$readme" ||
    fail "README.md has not one block of $1"
}

mkdir "$scratch/program" "$scratch/bin"
cd "$scratch/program"
block c >program.c
printf '#!/bin/sh\nexec %s %s "$@" -o program\n' "$CC" "$flags" >"$scratch/bin/cc"
chmod +x "$scratch/bin/cc"
line=$(sed -n 's/^    \(cc program\.c .*\)/\1/p' "$readme")
[ -n "$line" ] || fail 'README.md does not say how its program is compiled'
PATH=$scratch/bin:$PATH quietly sh -c "$line"

# The examples are built by the same line, from where they are installed.
examples=0
for source in "$scratch"/prefix/share/doc/multiserver/examples/*.c; do
  mkdir "$scratch/example"
  cp "$source" "$scratch/example/program.c"
  (cd "$scratch/example" && PATH=$scratch/bin:$PATH quietly sh -c "$line")
  rm -r "$scratch/example"
  examples=$((examples + 1))
done
[ "$examples" -ge 5 ] || fail "only $examples examples are installed"

{
  printf '%s\n' 'cmake_minimum_required(VERSION 3.20)' 'project(readme C)' 'add_executable(program program.c)'
  block cmake
} >CMakeLists.txt
quietly cmake -B "$scratch/built" -G Ninja -DCMAKE_C_COMPILER="$CC" -DCMAKE_C_FLAGS="$flags"
quietly cmake --build "$scratch/built"

# ---- Servers ----

servers=''
trap 'kill $servers 2>/dev/null || true; rm -rf "$scratch"' EXIT

# serve OPTION...: sets `address`. Whatever fails in it has printed nothing.
serve() {
  mkfifo "$scratch/address"
  timeout 120 "$MULTISERVER" serve "$@" --key "$scratch/secret" net:127.0.0.1:0~shs >"$scratch/address" 2>"$scratch/served" &
  servers="$servers $!"
  read -r address <"$scratch/address" || fail "serve $*:" "$(cat "$scratch/served")"
  rm "$scratch/address"
}
quietly "$MULTISERVER" keygen "$scratch/secret"

# ends STATUS SAID PROGRAM ARGUMENT...: with that status, and those words on standard error.
ends() {
  want=$1 said=$2
  shift 2
  status=0
  timeout 60 "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
  [ "$status" -eq "$want" ] || fail "$* ended with $status instead of $want:" "$(cat "$scratch/err")"
  [ -z "$said" ] || grep -q -e "$said" "$scratch/err" || fail "$* does not say '$said':" "$(cat "$scratch/err")"
}

serve --echo --allow-any
for program in ./program "$scratch/built/program"; do
  ends 0 '' "$program" "$address"
  [ "$(cat "$scratch/out")" = hello ] || fail "$program printed:" "$(cat "$scratch/out")"
  [ ! -s "$scratch/err" ] || fail "$program said:" "$(cat "$scratch/err")"
done
echoes=$address
ends 2 usage ./program
ends 1 'no stack\|begins with a name' ./program nonsense
ends 1 refused ./program "net:127.0.0.1:1~shs:${address##*:}"
# Standard output that takes nothing, and one that nobody reads: an error, not a signal.
ends 1 stdout sh -c "exec ./program '$echoes' >/dev/full"
mkfifo "$scratch/unread"
ends 1 stdout sh -c "exec 3<>'$scratch/unread' 4>'$scratch/unread' 3<&-; exec ./program '$echoes' >&4"
serve --allow "${address##*:}" --echo
ends 1 refused ./program "$address"
# A peer that fails after it has said something.
serve --exec 'echo half; exit 1' --allow-any
ends 1 "$address" ./program "$address"
echo 'README.md has a program that works'
