#!/bin/sh
# zsh's completion: what it gives to zsh's own functions.
. "${0%/*}/support.sh"
needs zsh
quietly cmake --install "$TREE" --prefix "$scratch/prefix"
file=$scratch/prefix/share/zsh/site-functions/_multiserver

zsh -n "$file" || fail 'zsh finds an error in the completion'
grep -q '^#compdef multiserver$' "$file" || fail 'zsh would not know whose completion it is'

# given WORD...: the arguments of _arguments, _describe and compadd, one a line. _describe is given
# the name of an array.
given() {
  zsh -f -c '_arguments() { print -rl -- "$@" }
    _describe() { print -rl -- "${(@P)4}" }
    compadd() { shift; print -rl -- "$@" }
    file=$1; shift; words=("$@"); CURRENT=$#; set --; . "$file"' zsh "$file" "$@"
}

given multiserver '' >"$scratch/given"
for command in $(commands_of_help); do
  grep -q "^$command:..*" "$scratch/given" || fail "$command is not offered" "$(cat "$scratch/given")"
done
for command in $(commands_of_help); do
  given multiserver "$command" '' >"$scratch/given"
  for option in $(options_of_help "$command") --help; do
    grep -qE -- "^(\([^)]*\)|\*)?$option=?(\[|\$)" "$scratch/given" ||
      fail "$command $option is not offered:" "$(cat "$scratch/given")"
  done
  [ "$(grep -c ':file:_files$' "$scratch/given")" -ge "$(file_options_of_help "$command" | wc -l)" ] ||
    fail "$command completes too few files:" "$(cat "$scratch/given")"
done
given multiserver keygen '' | grep -qx '\*:file:_files' || fail 'keygen completes no files'

# ---- What arguments can be ----

# takes COMMAND OPTION REST: what its argument is, behind the description.
takes() {
  given multiserver "$1" '' | grep -E -- "^\*?$2=\[" | sed 's/^.*]://' >"$scratch/spec"
  [ "$(cat "$scratch/spec")" = "$3" ] || fail "$1 $2 takes something else than '$3':" "$(cat "$scratch/spec")"
}
# joined COMMAND...: its lines as words.
joined() {
  "$@" | paste -sd ' ' -
}
takes serve --limit "NAME=NUMBER: _multiserver_first $(joined limits_of_command)"
takes serve --trusted-proxy "CIDR=HOW: _multiserver_second $(joined ways_of_command)"
takes serve --scope "SCOPE:($(joined scopes_of_command --scope))"
takes serve --print-addresses "SCOPE:($(joined scopes_of_command --print-addresses))"
takes serve --http-root 'folder:_files -/'
takes serve --unix-group group:_groups
takes serve --exec command:_cmdstring
takes serve --key file:_files
takes serve --allow 'KEY: '
takes serve --forward ADDRESS:_multiserver_address
takes serve --metrics 'ADDRESS: '
for command in connect check address; do
  given multiserver "$command" '' | grep -qx '\*:ADDRESS:_multiserver_address' || fail "$command takes no @FILE"
done
! given multiserver serve '' | grep -x '\*:ADDRESS.*' || fail 'serve takes @FILE'
given multiserver connect '' | grep -- --security | sed 's/.*(\(.*\))$/\1/' | tr ' ' '\n' | sort >"$scratch/levels"
levels_of_command | sort | diff - "$scratch/levels" || fail 'connect --security takes other words'

# compinit finds it by its first line.
zsh -f -c 'zmodload zsh/complist zsh/computil; autoload -Uz compinit; compinit -D -u -d "$2/dump"
  fpath=("${1:h}" $fpath); compinit -u -d "$2/dump"; [[ $_comps[multiserver] == _multiserver ]]' zsh "$file" "$scratch" ||
  fail 'zsh does not load the completion for multiserver'

# zsh itself, as somebody presses Tab at a terminal of its own.
cat >"$scratch/type.zsh" <<'END'
zmodload zsh/zpty
fpath=("$1" $fpath)
zpty shell "cd $2; zsh -f"
zpty -w shell "PS1=; fpath=('$1' \$fpath); autoload -Uz compinit; compinit -u -d '$2/dump'; multiserver() { print -rl -- \"got=\$*\" }; print ready\$((1))"
zpty -m -r shell seen '*ready1*' || exit 1
zpty -n -w shell "multiserver $3"$'\t\n'
zpty -w shell 'print done$((1))'
zpty -m -r shell seen '*done1*' || exit 1
print -r -- "${${seen##*got=}%%$'\r'*}"
END
# becomes TYPED WHOLE
becomes() {
  mkdir -p "$scratch/typed/pages"
  touch "$scratch/typed/paper"
  got=$(timeout 60 zsh -f "$scratch/type.zsh" "${file%/*}" "$scratch/typed" "$1")
  [ "$got" = "$2" ] || fail "'$1' becomes '$got'"
}
becomes 'serve --limit conn' 'serve --limit connections='
becomes 'serve --limit=conn' 'serve --limit=connections='
becomes 'serve --trusted-proxy 2001:db8::/32=forw' 'serve --trusted-proxy 2001:db8::/32=forwarded'
becomes 'serve --trusted-proxy=127.0.0.1=pr' 'serve --trusted-proxy=127.0.0.1=proxy'
becomes 'serve --scope dev' 'serve --scope device'
becomes 'serve --http-root pa' 'serve --http-root pages'
becomes 'connect --security ke' 'connect --security key'
becomes 'connect --prefer unix~tls~w' 'connect --prefer unix~tls~ws'
becomes 'connect --prefer=net~tls~n' 'connect --prefer=net~tls~noauth'
becomes 'address --stacks net~shs,ws~n' 'address --stacks net~shs,ws~noauth'
becomes 'connect @pap' 'connect @paper'
becomes 'serve --forward @pap' 'serve --forward @paper'
becomes 'serve --forward=@pap' 'serve --forward=@paper'
becomes 'serve --echo @pap' 'serve --echo @pap'
becomes 'conn' 'connect'
