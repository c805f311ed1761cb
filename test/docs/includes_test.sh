#!/bin/sh
# Each folder includes what the table of docs/architecture.md lets it, and libuv is where that says.
. "${0%/*}/../install/support.sh"
cd "$SOURCE"
table=docs/architecture.md
checked=0
for dir in src/*/ cli/; do
  row=$(grep -F "| \`$dir\` |" "$table") || fail "$table has no row for $dir"
  allowed=$(printf '%s\n' "$row" | awk -F'|' '{ print $4 }' | tr -d '`,')
  own=$(basename "$dir")
  # shellcheck disable=SC2046 # lists of files
  grep -noE '#include ("[a-z]+/|<uv\.h>)' $(find "$dir" -name '*.[ch]') /dev/null >"$scratch/includes" || true
  while IFS=: read -r file line include; do
    case $include in
      *uv.h*) [ "$dir" = cli/ ] && continue; what=uv.h ;;
      *) what=$(printf '%s' "$include" | sed 's/.*"//; s/\///') ;;
    esac
    checked=$((checked + 1))
    [ "$what" = "$own" ] && continue
    case " $allowed " in
      *" $what "*) ;;
      *) fail "$file:$line includes $what, which $table does not let $dir" ;;
    esac
  done <"$scratch/includes"
done
[ "$checked" -ge 200 ] || fail "only $checked includes found"
echo "$checked includes are where they may be"
