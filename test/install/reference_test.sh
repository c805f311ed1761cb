#!/bin/sh
# The reference of the header: everything public is commented, every name in a comment is there.
. "${0%/*}/support.sh"
needs doxygen
header=$SOURCE/include/multiserver.h

# reference FILTER: Doxygen's output, below $scratch/html, for the header as `sed FILTER` leaves it.
reference() {
  sed "$1" "$header" >"$scratch/multiserver.h"
  sed -e "s|^INPUT  .*|INPUT = $scratch/multiserver.h|" -e "s|^OUTPUT_DIRECTORY .*|OUTPUT_DIRECTORY = $scratch/html|" \
    "$TREE/Doxyfile" >"$scratch/Doxyfile"
  doxygen "$scratch/Doxyfile" >"$scratch/said" 2>&1
}

reference '' || fail 'Doxygen is not content with the header:' "$(cat "$scratch/said")"
[ ! -s "$scratch/said" ] || fail 'Doxygen says:' "$(cat "$scratch/said")"
functions=0
for name in $(grep -oE '\bms_[a-z][a-z0-9_]*\(' "$header" | tr -d '(' | LC_ALL=C sort -u); do
  grep -q "$name" "$scratch/html/globals_func.html" || fail "$name is not in the reference"
  functions=$((functions + 1))
done
[ "$functions" -ge 50 ] || fail "only $functions functions found in the header"
grep -q 'everything needed to' "$scratch/html/index.html" || fail 'the first page says nothing'

# What is not right is found.
faulty() {
  ! reference "$1" || fail "Doxygen passes a header with $2"
  grep -q "$2" "$scratch/said" || fail "Doxygen does not speak of $2:" "$(cat "$scratch/said")"
}
faulty 's/^MS_API const char \*ms_version/MS_API int ms_uncommented(void);\n\n&/; s/^\/\* The version of the library that runs/\/\/ &/' ms_uncommented
faulty 's/ms_identity_free; it is NULL/ms_identity_release; it is NULL/' ms_identity_release
echo "$functions functions are in the reference"
