#!/bin/sh
# Every word of docs/glossary.md is used, and the code has the names that stand beside it. What the command counts
# and tells has a meaning in a document, and no other name has one.
. "${0%/*}/../install/support.sh"
cd "$SOURCE"
page=docs/glossary.md

# same_names WHAT: the lists $scratch/told and $scratch/meant are the same, and not empty.
same_names() {
  LC_ALL=C sort -u "$scratch/told" >"$scratch/a"
  LC_ALL=C sort -u "$scratch/meant" >"$scratch/b"
  [ -s "$scratch/a" ] || fail "no $1 found"
  diff -u --label 'the command' --label "$2" "$scratch/a" "$scratch/b" || fail "$1 and $2 differ"
}

# ---- Words ----

# Lines "WORD|MEANING|CODE" of the tables of words.
awk -F ' *[|] *' '/^## / { words = $0 != "## Counters" } words && NF == 5 && $2 !~ /^(Word|---)/ { print $2 "|" $3 "|" $4 }' \
  "$page" >"$scratch/words"
count=$(wc -l <"$scratch/words")
[ "$count" -ge 100 ] || fail "only $count words found in $page"

find README.md SECURITY.md docs include src cli -type f ! -path "$page" -exec cat {} + |
  tr 'A-Z\n' 'a-z ' | sed 's/ [*] / /g; s/  */ /g' >"$scratch/text"
cat include/*.h src/*/*.[ch] cli/*.[ch] cli/*/*.[ch] | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | LC_ALL=C sort -u >"$scratch/code"
(cd src && ls -- */*.c) | sed 's|.*/||' >>"$scratch/code"
(cd cli && ls -- *.c */*.c) | sed "s|.*/||" >>"$scratch/code"
: >"$scratch/wrong"
while IFS='|' read -r words meaning code; do
  [ -n "$meaning" ] && [ -n "$code" ] || fail "$page: $words has no meaning, or no name in the code"
  echo "$words" | sed 's/, /\n/g' | tr 'A-Z' 'a-z' >"$scratch/one"
  while read -r word; do
    grep -qF -e "$word" "$scratch/text" || echo "\"$word\" is said nowhere else" >>"$scratch/wrong"
  done <"$scratch/one"
  echo "$code" | grep -oE '`[^`]+`' | tr -d '`' >"$scratch/one"
  [ -s "$scratch/one" ] || fail "$page: $words has no name in the code: $code"
  while read -r name; do
    grep -qxF -e "$name" "$scratch/code" || echo "$words: the code has no $name" >>"$scratch/wrong"
  done <"$scratch/one"
done <"$scratch/words"
[ ! -s "$scratch/wrong" ] || fail "$page:" "$(cat "$scratch/wrong")"
cut -d '|' -f 1 "$scratch/words" | sed 's/, /\n/g' | LC_ALL=C sort | uniq -d >"$scratch/one"
[ ! -s "$scratch/one" ] || fail "$page: these stand there twice:" "$(cat "$scratch/one")"

# ---- Counters, as a server tells them ----

timeout 60 "$MULTISERVER" serve --echo --metrics "unix:$scratch/metrics" "unix:$scratch/socket" \
  >"$scratch/address" 2>"$scratch/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT
timeout 30 tail -f --pid="$server" -n +1 "$scratch/log" | grep -q -m 1 'metrics at' || fail 'no metrics:' "$(cat "$scratch/log")"
printf 'GET /metrics HTTP/1.0\r\n\r\n' | timeout 30 "$MULTISERVER" connect "unix:$scratch/metrics" >"$scratch/scrape" ||
  fail 'no metrics can be had'
sed -n 's/^# TYPE multiserver_\([a-z_]*\) .*/\1/p' "$scratch/scrape" | grep -v '^limit_' | sed 's/_total$//; s/_bytes$//' >"$scratch/told"
# Events are counted with --json.
echo events_lost >>"$scratch/told"
awk -F ' *[|] *' '/^## / { on = $0 == "## Counters" } on && NF == 4 && $2 ~ /^`/ { gsub(/`/, "", $2); print $2 }' "$page" >"$scratch/meant"
same_names counters "$page"
counters=$(wc -l <"$scratch/b")
limits_of_command >"$scratch/told"
awk -F ' *[|] *' '$2 ~ /^`[a-z-]*=N`$/ { gsub(/`|=N/, "", $2); print $2 }' docs/operating.md >"$scratch/meant"
same_names limits docs/operating.md

# ---- Events, and why a connection is closed ----

# table FIRST: the first column of that table of the manual.
table() {
  awk -F '\t' -v first="$1" '$1 == first { on = 1; next } /^\.TE/ { on = 0 } on && NF == 2 && $1 ~ /^[a-z]+$/ { print $1 }' docs/multiserver.1.in
}
grep -ohE '(write|make)_event\((r, )?"[a-z]+"' cli/serve/*.c | sed 's/.*"\(.*\)"/\1/' >"$scratch/told"
table Event >"$scratch/meant"
same_names events 'multiserver(1), EVENTS'
awk '/^static const char \*reason\(/ { on = 1 } on { print } /^}/ { on = 0 }' cli/serve/report.c | grep -oE '"[a-z]+"' | tr -d '"' >"$scratch/told"
table Reason >"$scratch/meant"
same_names reasons 'multiserver(1), EVENTS'
echo "$count words, $counters counters"
