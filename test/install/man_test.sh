#!/bin/sh
# The manual pages: every option of the help texts and every name of the header is in them, and
# mandoc and groff have nothing to say against them.
. "${0%/*}/support.sh"
needs mandoc

quietly cmake --install "$TREE" --prefix "$scratch/prefix"
page1=$scratch/prefix/share/man/man1/multiserver.1
page3=$scratch/prefix/share/man/man3/libmultiserver.3

# text PAGE: as a terminal shows it, with nothing broken.
text() {
  mandoc -T ascii -O width=1000 "$1" | sed "s/.$(printf '\b')//g"
}
for page in "$page1" "$page3"; do
  said=$(mandoc -T lint -W warning "$page") || fail "mandoc on ${page##*/}:" "$said"
  [ -z "$said" ] || fail "mandoc on ${page##*/}:" "$said"
  if command -v groff >/dev/null 2>&1; then
    said=$(groff -t -man -Tascii -ww "$page" 2>&1 >/dev/null)
    [ -z "$said" ] || fail "groff on ${page##*/}:" "$said"
  fi
done

# ---- multiserver(1) ----

text "$page1" >"$scratch/text1"
options=0
for command in $(commands_of_help); do
  # The command's own part of the page.
  sed -n "/^   $command: /,/^\(   [a-z]*: \|[A-Z]\)/p" "$scratch/text1" >"$scratch/part"
  grep -q "multiserver $command" "$scratch/part" || fail "multiserver(1) has no part on $command"
  for option in $(options_of_help "$command"); do
    grep -qE -- "(^|[^a-z-])$option([^a-z-]|\$)" "$scratch/part" ||
      fail "multiserver(1) does not tell of $command $option"
    options=$((options + 1))
  done
  # Nothing is lost: the words of the help text, in their order.
  for file in help page; do
    case $file in
      help) "$MULTISERVER" "$command" --help | sed 's/^usage: //' ;;
      page) sed '1d;$d' "$scratch/part" ;;
    esac | tr -s ' ' '\n' | sed '/^$/d' | tr '[:upper:]' '[:lower:]' >"$scratch/$file"
  done
  sed '/./,$!d' "$scratch/page" | diff "$scratch/help" - || fail "multiserver(1) on $command is not its help text"
done
[ "$options" -ge 10 ] || fail "only $options options found in the help texts"

# ---- libmultiserver(3) ----

text "$page3" >"$scratch/text3"
header=$SOURCE/include/multiserver.h
names=0
for name in $(grep -oE '\bms_[a-z][a-z0-9_]*[)]?\(' "$header" | tr -d '()' | LC_ALL=C sort -u) \
  $(grep -oE '^  MS_[A-Z0-9_]+' "$header") $(grep -oE '^typedef (struct|enum) ms_[a-z_]+' "$header" | awk '{ print $3 }'); do
  grep -qE "(^|[^a-z_])$name([^a-zA-Z0-9_]|\$)" "$scratch/text3" || fail "libmultiserver(3) does not tell of $name"
  names=$((names + 1))
done
[ "$names" -ge 50 ] || fail "only $names names found in the header"
declared=$(grep -c '^MS_API' "$header")
shown=$(awk '/^\.EX/ { on = 1 } /^\.EE/ { on = 0 } on && /^(extern )?[a-z_].*[ *]ms_[a-z0-9_]*[([]/' "$page3" | wc -l)
[ "$shown" -ge "$declared" ] || fail "the header declares $declared things, libmultiserver(3) shows $shown"
! grep 'MS_API' "$scratch/text3" || fail 'libmultiserver(3) speaks of MS_API'
echo "$options options and $names names are in the pages"
