#!/bin/sh
# bash's completion, asked as bash asks it when somebody presses Tab.
. "${0%/*}/support.sh"
needs bash
quietly cmake --install "$TREE" --prefix "$scratch/prefix"
file=$scratch/prefix/share/bash-completion/completions/multiserver

# Every option whose argument the help names takes one of that name, and is described: the other shells show it.
for command in $(commands_of_help); do
  "$MULTISERVER" "$command" --help | sed '/^examples:/,$d; s/^usage: .*//' |
    grep -oE '^  (-[a-z], )?--[a-z-]+( [A-Z][A-Z0-9=|-]*)?( |$)' | sed 's/^.*--/--/; s/ *$//' | LC_ALL=C sort -u >"$scratch/named"
  "$MULTISERVER" "$command" --help | awk -v mode=options -f "$SOURCE/scripts/help.awk" |
    awk -F '\t' '$3 != "" { n = split($1, name, ","); print name[n] ($2 == "" ? "" : " " $2) }' | LC_ALL=C sort -u |
    diff "$scratch/named" - || fail "scripts/help.awk reads other arguments in the help of $command"
done

# Where a shell cuts words: COMP_WORDBREAKS with an '@' in it, or without.
breaks='=:@'

# completed WORD...: what the last word may become.
completed() {
  (cd "$scratch/files" && bash --norc -c 'COMP_WORDBREAKS=$1; file=$2; shift 2; . "$file"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _multiserver; printf "%s\n" "${COMPREPLY[@]}"' bash "$breaks" "$file" "$@") | sed '/^$/d' | LC_ALL=C sort
}

# expect WORD...: these are offered, one a line on standard input.
expect() {
  completed "$@" >"$scratch/offered"
  LC_ALL=C sort -u | diff - "$scratch/offered" || fail "wrong after: $*"
}

mkdir "$scratch/files"
touch "$scratch/files/my friends" "$scratch/files/a*b"
mkdir "$scratch/files/pages"
bash -n "$file"
{
  commands_of_help
  printf '%s\n' help --help --version
} | expect multiserver ''
echo serve | expect multiserver se
commands_of_help | expect multiserver help ''
for command in $(commands_of_help); do
  { options_of_help "$command" && echo --help; } | expect multiserver "$command" -
  for option in $(file_options_of_help "$command"); do
    printf '%s\n' 'my friends' 'a*b' pages | expect multiserver "$command" "$option" ''
    echo 'my friends' | expect multiserver "$command" "$option" my
    echo 'my friends' | expect multiserver "$command" "$option" = my
  done
done
printf '%s\n' --allow --allow-any --allow-file | expect multiserver serve --al
expect multiserver serve --allow '' </dev/null
echo 'my friends' | expect multiserver keygen my
expect multiserver id my </dev/null

# ---- What arguments can be; bash takes '=' and ':' for words of their own ----

[ "$(limits_of_command | wc -l)" -ge 9 ] || fail 'the command does not name its limits'
limits_of_command | sed 's/$/=/' | expect multiserver serve --limit ''
limits_of_command | sed 's/$/=/' | expect multiserver serve --limit =
echo buffered-each= | expect multiserver serve --limit = buffered-
expect multiserver serve --limit buffered = '' </dev/null
for option in --scope --print-addresses; do
  scopes_of_command "$option" | expect multiserver serve "$option" ''
  echo device | expect multiserver serve "$option" = d
done
levels_of_command | expect multiserver connect --security ''
! completed multiserver check --security '' | grep -x key || fail 'check has no --security'
expect multiserver serve --trusted-proxy 127.0.0.1 </dev/null
ways_of_command | expect multiserver serve --trusted-proxy 127.0.0.1 =
ways_of_command | expect multiserver serve --trusted-proxy 2001 : db8 :: /32 =
echo forwarded | expect multiserver serve --trusted-proxy = 2001 : db8 :: /32 = f
echo pages | expect multiserver serve --http-root ''
echo pages | expect multiserver serve --http-root = p
completed multiserver serve --unix-group ro | grep -qx root || fail 'no groups are offered'
completed multiserver serve --exec bas | grep -qx bash || fail 'no commands are offered'
printf '%s\n' --allow --allow-any --allow-file | expect multiserver serve net ::: 1 : 8008~shs --al

# ---- Stacks, one or several ----

[ "$(stacks_of_command | wc -l)" -ge 10 ] || fail 'the command does not name its stacks'
stacks_of_command | expect multiserver connect --prefer ''
stacks_of_command | grep '^unix~t' | expect multiserver connect --prefer = unix~t
stacks_of_command | expect multiserver address --stacks ''
stacks_of_command | sed 's/^/ws,net~shs,/' | expect multiserver address --stacks ws,net~shs,
stacks_of_command | grep '^ws' | sed 's/^/net~shs,/' | expect multiserver address --stacks = net~shs,ws

# ---- An address in a file; '@' may be a word of its own, and may not ----

for command in connect check address 'serve --forward'; do
  # shellcheck disable=SC2086 # words
  {
    echo 'my friends' | expect multiserver $command @ my
    printf '%s\n' 'my friends' 'a*b' pages | expect multiserver $command @
    expect multiserver $command my </dev/null
    breaks='=:'
    echo '@my friends' | expect multiserver $command @my
    printf '%s\n' '@my friends' '@a*b' @pages | expect multiserver $command @
    breaks='=:@'
  }
done
echo 'my friends' | expect multiserver serve --forward = @ my
for command in serve 'serve --metrics'; do
  # shellcheck disable=SC2086 # words
  expect multiserver $command @ my </dev/null
done
