#!/bin/sh
# Does what docs/adding-a-layer.md says, block by block, in a copy of the tree: it compiles after every
# step, warnings being errors, and the tests that the last step writes pass.
. "${0%/*}/../install/support.sh"
needs cmake ninja git node pkg-config
page=$SOURCE/docs/adding-a-layer.md
unset CFLAGS CPPFLAGS LDFLAGS
export CC CMAKE_BUILD_PARALLEL_LEVEL=2

mkdir "$scratch/tree" "$scratch/blocks"
(cd "$SOURCE" && tar -cf - --exclude=./.git --exclude=./build --exclude=node_modules .) | tar -xf - -C "$scratch/tree"
cd "$scratch/tree"

# ---- The blocks: blocks/NUMBER, and a line each in blocks/list: NUMBER, KIND, FILE or -, STEP ----

awk -v dir="$scratch/blocks" '
  !inside && /^## / { step = substr($0, 4) }
  /^```/ && inside { inside = 0; close(block); next }
  /^```/ {
    inside = 1
    block = dir "/" sprintf("%02d", ++n)
    printf "" >block
    printf "%02d\t%s\t%s\t%s\n", n, (substr($1, 4) == "" ? "-" : substr($1, 4)), (NF > 1 ? $2 : "-"), step >(dir "/list")
    next
  }
  inside { print >block }' "$page"

# in_step COMMAND...: shows what it says only when it fails, and where in the document that is.
in_step() {
  timeout 300 "$@" >"$scratch/said" 2>&1 || fail "docs/adding-a-layer.md, step $step, block $n: this failed: $*" "$(cat "$scratch/said")"
}

step='1, before its first block' n=00
in_step cmake --preset debug -DMULTISERVER_WERROR=ON
built='' steps=0
while IFS="$(printf '\t')" read -r n kind file step; do
  block=$scratch/blocks/$n
  case $kind:$file in
    c:?*/*)
      [ ! -e "$file" ] || fail "docs/adding-a-layer.md, step $step: $file is there already"
      cp "$block" "$file"
      ;;
    diff:-) in_step git apply "$block" ;;
    sh:-) in_step sh -e "$block" ;;
    *) fail "docs/adding-a-layer.md, step $step: block $n is neither a file, nor a diff, nor commands" ;;
  esac
  [ "$built" = "$step" ] || steps=$((steps + 1))
  built=$step
  # The last block of a step is followed by one of another.
  next=$(awk -F '\t' -v n="$n" '$1 == n + 1 { print $4 }' "$scratch/blocks/list")
  [ "$next" = "$step" ] || in_step cmake --build build/debug --target multiserver
done <"$scratch/blocks/list"
[ "$steps" -ge 5 ] || fail "only $steps steps with blocks found in $page"

# ---- What is said of the result ----

step='4. What it stands for' n='(the text)'
command=build/debug/multiserver
mkfifo "$scratch/address"
timeout 60 "$command" serve --echo net:127.0.0.1:0~lp >"$scratch/address" 2>"$scratch/said" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT
read -r address <"$scratch/address" || fail "docs/adding-a-layer.md, step $step: net~lp is not served:" "$(cat "$scratch/said")"
echo hello | in_step "$command" connect "$address"
[ "$(cat "$scratch/said")" = hello ] || fail "docs/adding-a-layer.md, step $step: $address does not echo:" "$(cat "$scratch/said")"
echo "$steps steps, $(wc -l <"$scratch/blocks/list") blocks"
