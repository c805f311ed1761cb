#!/bin/sh
# What is cited exists: every path that a document, a comment or a script names, and every section of
# docs/behaviours.md.
. "${0%/*}/../install/support.sh"
cd "$SOURCE"
files=$(find README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md Makefile CMakeLists.txt CMakePresets.json .ci docs \
  src include cli examples contrib cmake scripts bench fuzz test -name node_modules -prune -o -name corpus -prune \
  -o -name vectors -prune -o -name '*-lock.json' -prune -o -type f -print)

# ---- Paths: docs/NAME.md anywhere; any path between `` in a document, from the root or from src/ ----

# shellcheck disable=SC2086 # lists of files
grep -noE '(^|[^a-zA-Z/])docs/[a-zA-Z0-9./-]+\.(md|in)\b' $files | sed 's/:[^:]*docs/:docs/' >"$scratch/cited"
documents=$(echo "$files" | grep '\.md$')
# shellcheck disable=SC2086,SC2016
grep -noE '`(\./)?(docs|src|include|cli|examples|contrib|cmake|scripts|bench|fuzz|test|endpoint|dial|transport|loop|conn|layer|addr|base|\.ci)/[a-zA-Z0-9_./-]*`' $documents |
  tr -d '`' >>"$scratch/cited"
paths=0
while IFS=: read -r file line path; do
  case $path in *NAME* | *_test.) continue ;; esac
  # What docs/adding-a-layer.md has its reader make.
  case $file:$path in docs/adding-a-layer.md:*/lp*.c) continue ;; esac
  # A path from the root or from src/, or a test's name.
  [ -e "$path" ] || [ -e "src/$path" ] || ls "test/${path}_test".* >/dev/null 2>&1 || fail "$file:$line cites $path, which is not there"
  paths=$((paths + 1))
done <"$scratch/cited"
[ "$paths" -ge 60 ] || fail "only $paths paths found"

# Links between documents, whole names of documents in the root.
for file in $documents; do
  grep -oE '\]\([^)]+\)' "$file" | sed 's/^](//; s/)$//; s/#.*//' | grep -v '^[a-z]*:' | while read -r path; do
    [ -z "$path" ] || [ -e "$(dirname "$file")/$path" ] || fail "$file links to $path, which is not there"
  done
done

# ---- Lists that are whole ----

for dir in fuzz/corpus/*; do
  grep -q "\`${dir##*/}\`" docs/fuzzing.md || fail "docs/fuzzing.md does not tell of the entry ${dir##*/}"
done

# ---- Sections: docs/behaviours.md, section N, "Heading" ----

# Comments are one line each then, without what begins a line of them.
page=docs/behaviours.md
sections=0
for file in $files; do
  tr '\n' ' ' <"$file" | sed 's/ \(\*\|\/\/\|#\)  *//g; s/  */ /g; s/](behaviours\.md)/]/g' | grep -oE '(docs/)?behaviours\.md(, section [0-9]+(, "[^"]+")?)?' || true
done | LC_ALL=C sort | uniq -c >"$scratch/sections"
while read -r count path rest; do
  [ "${path%,}" = "$page" ] || fail "$count citations of $path name no path from the root"
  number=$(echo "$rest" | sed -n 's/^section \([0-9]*\).*/\1/p') heading=$(echo "$rest" | sed -n 's/.*"\(.*\)"/\1/p')
  sections=$((sections + count))
  [ -n "$number" ] || continue
  awk -v n="$number" '/^## / { on = index($0, "## " n ". ") == 1 } on' "$page" >"$scratch/section"
  [ -s "$scratch/section" ] || fail "$page has no section $number, which is cited $count times"
  [ -z "$heading" ] || grep -qx "### $heading" "$scratch/section" || fail "$page, section $number has no \"$heading\""
done <"$scratch/sections"
[ "$sections" -ge 15 ] || fail "only $sections citations of $page found"
echo "$paths paths and $sections sections"
