#!/bin/sh
# The binary interface is the one that is recorded in cmake/abi; and scripts/abi tells what breaks programs
# from what does not.
. "${0%/*}/support.sh"
needs abidiff nm readelf git
export CC
library=$TREE/libmultiserver.so

timeout 60 "$SOURCE/scripts/abi" check "$library" || fail 'see above'

# ---- In a copy of what it reads, with another header ----

copy=$scratch/copy
mkdir -p "$copy/scripts" "$copy/cmake" "$copy/include"
cp "$SOURCE/scripts/abi" "$copy/scripts"
cp -R "$SOURCE/cmake/abi" "$copy/cmake"
header=$copy/include/multiserver.h

# abi NEEDLE STATUS ARGUMENT...: it has that status, and says that.
abi() {
  needle=$1 wanted=$2 status=0
  shift 2
  timeout 60 "$copy/scripts/abi" "$@" >"$scratch/said" 2>&1 || status=$?
  [ "$status" -eq "$wanted" ] || fail "$case: scripts/abi $* has status $status, not $wanted:" "$(cat "$scratch/said")"
  [ -z "$needle" ] || grep -q -e "$needle" "$scratch/said" || fail "$case: scripts/abi $* does not say \"$needle\":" "$(cat "$scratch/said")"
}

cases=0
# with SED: the header so; it is another one than ours.
with() {
  case=$1
  sed -E "$1" "$SOURCE/include/multiserver.h" >"$header"
  ! cmp -s "$SOURCE/include/multiserver.h" "$header" || fail "nothing in the header is changed by $1"
  cases=$((cases + 1))
}
same() { with "$1" && abi '' 0 check "$library"; }
compatible() { with "$1" && abi '^Compatible: ' 1 check "$library"; }
incompatible() { with "$1" && abi '^INCOMPATIBLE: ' 1 check "$library"; }

same 's,^MS_API int ms_add\(,/* ms_remove takes\n * it out. */ &\n    ,'
same 's/^(#define MS_VERSION) .*/\1 "9.9.9"/'
compatible 's/^MS_API const char \*ms_version/MS_API int ms_fresh(int x);\n&/'
compatible 's/^} ms_ctx_opts;/  int fresh;\n&/'
compatible 's/^} ms_stack_opts;/  int fresh;\n  void (*on_fresh)(int x);\n&/'
compatible 's/^} ms_dial_opts;/  int fresh;\n&/'
compatible 's/^  MS_EFAILED = -21/&,\n  MS_EFRESH = -22/'
compatible 's/^(MS_API void ms_conn_need\(ms_conn \*conn, size_t) n/\1 count/'
compatible 's/^  size_t offset;  /  size_t place;  /'
incompatible '/^MS_API const char \*ms_version/d'
incompatible 's/^  size_t inherited_count;/  int fresh;\n&/'
incompatible 's/^} ms_(limits|tls_opts);/  int fresh;\n&/'
incompatible 's/^} ms_error;/  int fresh;\n&/'
incompatible 's/^} ms_ctx_stats;/  int fresh;\n&/'
incompatible 's/^} ms_conn_events;/  void (*on_fresh)(int x);\n&/'
incompatible 's/^  MS_EFAILED = -21/  MS_EFAILED = -22/'
incompatible 's/^  MS_STEP_FAILED,/  MS_STEP_FRESH,\n&/'
incompatible 's/^  MS_EGONE = -20,//'
incompatible 's/^(MS_API void ms_conn_need\(ms_conn \*conn,) size_t/\1 uint32_t/'
incompatible 's/^MS_API size_t ms_conn_peek/MS_API ptrdiff_t ms_conn_peek/'
incompatible 's/^typedef void (\(\*ms_wake_cb\))/typedef int \1/'
incompatible 's/(MS_ADDRESS_MAX = )65536/\165535/'
incompatible 's/(MS_KEY_BYTES = )32/\133/'

# ---- The library itself, and its SONAME ----

case='a library with a name more and one less'
cp "$SOURCE/include/multiserver.h" "$header"
echo 'int ms_add(void); int ms_add(void) { return 0; } int ms_stray(void); int ms_stray(void) { return 0; }' >"$scratch/other.c"
quietly "$CC" -shared -fPIC "$scratch/other.c" -o "$scratch/other.so" -Wl,-soname,libmultiserver.so.0
abi '^+ms_stray' 1 check "$scratch/other.so"
abi '^-ms_dial$' 1 check "$scratch/other.so"
abi '^INCOMPATIBLE: ' 1 check "$scratch/other.so"
abi 'does not export what include/multiserver.h declares' 1 record "$scratch/other.so"

# ---- After a release ----

# twin SONAME: a library of today's names under another SONAME.
twin() {
  sed -n 's/^ms_[a-z0-9_]*$/int &(void); int &(void) { return 0; }/p' "$copy/cmake/abi/symbols" >"$scratch/twin.c"
  quietly "$CC" -shared -fPIC "$scratch/twin.c" -o "$scratch/twin.so" -Wl,-soname,"$1"
}
(
  cd "$copy"
  export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
  quietly git init -q .
  quietly git add .
  quietly git -c user.name=test -c user.email=test@example.org commit -qm release
  quietly git tag v0.1.0
)
with 's/^} ms_ctx_opts;/  int fresh;\n&/'
abi '' 0 record "$library"
abi '' 0 check "$library"
abi '^compatible$' 0 since v0.1.0
with 's/^} ms_error;/  int fresh;\n&/'
abi '^incompatible$' 1 since v0.1.0
abi 'v0.1.0 has the same SONAME' 1 record "$library"
twin libmultiserver.so.9
abi '' 0 record "$scratch/twin.so"
abi '' 0 check "$scratch/twin.so"
echo "$cases headers compared"
