#!/bin/sh
# The commands that documents show can be typed: their targets, scripts, subcommands and options exist.
. "${0%/*}/../install/support.sh"
needs node make
cd "$SOURCE"

# FILE:LINE, with lines that a backslash ends joined to the next; also what stands between `` in prose.
for file in README.md CONTRIBUTING.md SECURITY.md docs/*.md docs/*.in bench/README.md contrib/* examples/*.c; do
  sed -e :a -e '/\\$/N; s/\\\n *//; ta' -e 's/\\-/-/g; s/\\(ti/~/g' "$file" | sed "s|^|$file:|"
done >"$scratch/lines"

# each PATTERN: "FILE COMMAND..." of what matches, up to what ends a command.
each() {
  grep -oE "^[^:]*:|$1" "$scratch/lines" | awk '/^[^ ]*:$/ { file = $0; next } { print file, $0 }'
}

count=0
each '\bmultiserver (serve|connect|check|address|keygen|id)\b[^`|<>#&"]*' >"$scratch/typed"
while read -r file _ command rest; do
  options=$(options_of_help "$command")
  for word in $rest; do
    case $word in
      --) break ;;
      -[a-z]* | --[a-z]*)
        option=$(echo "${word%%=*}" | grep -oE '^--?[a-z][a-z-]*')
        echo "$options" | grep -qx -e "$option" || [ "$option" = --help ] ||
          fail "$file multiserver $command has no $option: multiserver $command $rest"
        ;;
    esac
  done
  count=$((count + 1))
done <"$scratch/typed"
[ "$count" -ge 20 ] || fail "only $count commands found"

each '\bmake [a-z][a-z-]*\b' | sed '/ make \(of\|room\|it\|one\|way\|up\)$/d' >"$scratch/typed"
while read -r file _ target; do
  # In prose there is other making.
  grep -q "\(^ *\|[\`]\)make $target\b" "${file%:}" || continue
  grep -q "^$target:" Makefile || fail "$file there is no make $target"
  count=$((count + 1))
done <"$scratch/typed"

each '\b(node|scripts/[a-z-]+) [^`|;<>()]*' | sed 's/  .*//' >"$scratch/typed"
while read -r file program rest; do
  case $program in
    node)
      script=${rest%% *}
      case $script in *.js) ;; *) continue ;; esac
      quietly node --check "$script"
      for option in $(echo "$rest" | grep -oE -- '--[a-z]+'); do
        grep -qE "^ +'?${option#--}'?: \{ type" "$script" || fail "$file $script knows no $option"
      done
      ;;
    *) [ -e "$program" ] || fail "$file $program is not there" ;;
  esac
  count=$((count + 1))
done <"$scratch/typed"

for script in bench/run.js; do
  quietly node "$script" --help
  for option in $(grep -oE "^      [a-z]+: \{ type" "$script" | sed 's/:.*//; s/ //g'); do
    [ "$option" = help ] || grep -q -e "--$option " "$scratch/said" || fail "$script --help does not tell of --$option:" "$(cat "$scratch/said")"
  done
done
echo "$count commands"
