#!/bin/sh
# docs/README.md has every document of the tree, once, on a line that says what it is; docs/decisions/README.md
# and docs/architecture.md have every decision.
. "${0%/*}/../install/support.sh"
cd "$SOURCE"

# linked PAGE: what it links to, from the root, a line each.
linked() {
  grep -oE '\]\([^)#]+\)' "$1" | sed 's/^](//; s/)$//' | grep -v '^[a-z]*:' | while read -r path; do
    echo "$(dirname "$1")/$path" | sed 's|^\./||; :a; s|[^/.][^/]*/\.\./||; ta'
  done
}

# whole PAGE FILE...: it links to each of these, once.
whole() {
  page=$1
  shift
  linked "$page" | LC_ALL=C sort >"$scratch/linked"
  printf '%s\n' "$@" | LC_ALL=C sort | diff -u --label documents --label "$page" - "$scratch/linked" ||
    fail "$page does not link to what there is, once each"
}

# shellcheck disable=SC2046 # lists of files
whole docs/README.md README.md SECURITY.md CHANGELOG.md CONTRIBUTING.md $(find bench fuzz examples contrib scripts \
  -name node_modules -prune -o -name '*.md' -print) docs/decisions/README.md $(find docs -type f ! -path 'docs/decisions/*' ! -path docs/README.md)
grep -n '^- ' docs/README.md | grep -vE ':- \[[^]]+\]\([^)]+\): [^ ]' >"$scratch/bare" || true
[ ! -s "$scratch/bare" ] || fail 'docs/README.md does not say what these are:' "$(cat "$scratch/bare")"
linked README.md | grep -qx docs/README.md || fail 'README.md does not link to docs/README.md'

# ---- Decisions: numbered without a gap, dated, in both lists under their own titles ----

set -- docs/decisions/[0-9]*.md
whole docs/decisions/README.md "$@"
linked docs/architecture.md | grep '^docs/decisions/[0-9]' | LC_ALL=C sort | diff -u - "$scratch/linked" ||
  fail 'docs/architecture.md has other decisions'
n=0
for file in "$@"; do
  n=$((n + 1))
  title=$(sed -n "1s/^# $n\\. //p" "$file") date=$(sed -n '3p' "$file")
  [ "${file#docs/decisions/"$(printf %04d "$n")"-}" != "$file" ] && [ -n "$title" ] || fail "$file is not decision $n"
  echo "$date" | grep -qxE '20[0-9]{2}-[0-9]{2}-[0-9]{2}' || fail "$file has no date on its third line"
  for part in Context Decision Consequences; do
    grep -q "^\*\*$part\.\*\* " "$file" || fail "$file has no $part"
  done
  grep -qF "| [$n. $title](${file##*/}) | $date |" docs/decisions/README.md || fail "docs/decisions/README.md has another title or date than $file"
  grep -qF -e "- [$title](decisions/${file##*/})" docs/architecture.md || fail "docs/architecture.md has another title than $file"
done
echo "$(grep -c '^- ' docs/README.md) documents, $n decisions"
