# What the tests of the installation share; sourced by them. ctest gives TREE (a release build made
# for them), SOURCE, CC and MULTISERVER.
set -eu
unset DESTDIR LD_LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# A test that this machine cannot run is skipped by name, or fails under MS_NO_SKIP=1.
skip() {
  echo "$1 is missing"
  [ "${MS_NO_SKIP-}" != 1 ] || exit 1
  exit 77
}

needs() {
  for tool in "$@"; do
    command -v "$tool" >/dev/null 2>&1 || skip "$tool"
  done
}

# quietly COMMAND...: shows what a command says only when it fails.
quietly() {
  "$@" >"$scratch/said" 2>&1 || fail "failed: $*" "$(cat "$scratch/said")"
}

# The files and links below a folder, sorted, without the folder's name.
files_of() {
  (cd "$1" && find . ! -type d | sed 's|^\./||' | LC_ALL=C sort)
}

# expect_files DIR FILE...: exactly these.
expect_files() {
  (
    dir=$1
    shift
    printf '%s\n' "$@" | LC_ALL=C sort >"$scratch/expected"
    files_of "$dir" | diff -u "$scratch/expected" - || fail "$dir holds other files than expected"
  )
}

# ---- The command's help, read in another way than scripts/help.awk does ----

commands_of_help() {
  "$MULTISERVER" --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

# options_of_help COMMAND: every option outside of the examples.
options_of_help() {
  "$MULTISERVER" "$1" --help | sed '/^examples:/,$d' | grep -oE '(^|[[ ,])--?[a-z][a-z-]*' |
    sed 's/^[^-]//' | LC_ALL=C sort -u
}

# The options that are followed by FILE.
file_options_of_help() {
  "$MULTISERVER" "$1" --help | sed '/^examples:/,$d' | grep -oE -- '--[a-z-]+ FILE' | sed 's/ FILE//' | sort -u
}

# The words that an argument can be, as the command has them in what it says of one that is none:
# named_when_refused COMMAND ARGUMENT...
named_when_refused() {
  timeout 10 "$MULTISERVER" "$@" 2>&1 | sed -n 's/ *([^)]*)//g; s/.*\(the names are\|is no scope:\|is one of\|: it is\) //p' |
    tr -s ', ' '\n' | sed '/^or$/d; /^$/d'
}
limits_of_command() { named_when_refused serve --echo --limit none=1 net:127.0.0.1:0~shs; }
scopes_of_command() { named_when_refused serve --echo "$1" none net:127.0.0.1:0~shs; }
ways_of_command() { named_when_refused serve --echo --trusted-proxy 127.0.0.1=none net:127.0.0.1:0~shs; }
stacks_of_command() { named_when_refused connect --prefer nothing net:127.0.0.1:1; }
levels_of_command() { named_when_refused connect --security nothing net:127.0.0.1:1; }

# ---- What a file of ELF has against faults in memory ----

# lacks FILE [PIE]: what of it is missing, a line each.
lacks() {
  readelf -hlWd "$1" >"$scratch/elf"
  readelf -Ws "$1" >"$scratch/symbols"
  has() { grep -qE -e "$2" "$scratch/$1" || echo "$3"; }
  has symbols '__stack_chk_fail' 'stack protector'
  has symbols '__[a-z]+_chk' FORTIFY
  has elf '^ *GNU_RELRO ' RELRO
  has elf 'BIND_NOW|Flags:.*NOW' BIND_NOW
  has elf '^ *GNU_STACK .* RW ' 'executable stack'
  ! grep -q TEXTREL "$scratch/elf" || echo 'text relocations'
  [ "${2-}" != PIE ] || has elf 'Flags:.*PIE' PIE
  [ "$(uname -m)" = x86_64 ] || return 0
  readelf -n "$1" >"$scratch/notes"
  has notes 'SHSTK' 'shadow stack'
  # How far a big frame reaches is touched page by page; where a call through a pointer ends, it may.
  objdump -d --no-show-raw-insn "$1" | awk -v file="$scratch/code" '
    /sub +\$0x1000,%rsp/ { page = 1; next }
    page && /(or|mov)q +\$0x0,(0x[0-9a-f]+)?\(%rsp\)/ { probes++ }
    { page = 0 }
    / endbr64/ || /\tendbr64/ { branches++ }
    END {
      if (probes) print "probes" >file
      if (branches > 100) print "branches" >file
      print "end" >file
    }'
  has code probes 'stack clash'
  has code branches 'control flow'
}

# hardened FILE [PIE]
hardened() {
  lacking=$(lacks "$@")
  [ -z "$lacking" ] || fail "$1 is not hardened:" "$lacking"
}
