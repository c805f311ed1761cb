#!/bin/sh
# fish's completion, asked as fish asks it when somebody presses Tab.
. "${0%/*}/support.sh"
needs fish
quietly cmake --install "$TREE" --prefix "$scratch/prefix"
file=$scratch/prefix/share/fish/vendor_completions.d/multiserver.fish
mkdir "$scratch/files" "$scratch/home"
export HOME="$scratch/home"
touch "$scratch/files/friends"
mkdir "$scratch/files/pages"

# offered LINE: what it may go on with; descriptions are cut off.
offered() {
  (cd "$scratch/files" && fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$file" "$1") | cut -f 1
}

# offers LINE WORD...: each of them.
offers() {
  line=$1
  shift
  offered "$line" >"$scratch/offered"
  for word in "$@"; do
    grep -qxF -e "$word" "$scratch/offered" || fail "'$line' does not offer $word:" "$(cat "$scratch/offered")"
  done
}

fish --no-config -n "$file" || fail 'fish finds an error in the completion'
# shellcheck disable=SC2046 # words
offers 'multiserver ' $(commands_of_help) help
for command in $(commands_of_help); do
  long=$(options_of_help "$command" | sed '/^--/!d')
  # shellcheck disable=SC2086
  offers "multiserver $command --" $long --help
  for option in $(file_options_of_help "$command"); do
    offers "multiserver $command $option " friends
  done
done
offers 'multiserver keygen ' friends
for line in 'multiserver serve --allow ' 'multiserver id ' 'multiserver '; do
  ! offered "$line" | grep friends || fail "'$line' offers a file"
done

# ---- What arguments can be ----

# offers_only LINE [WORD...]
offers_only() {
  line=$1
  shift
  printf '%s\n' "$@" | sed '/^$/d' | LC_ALL=C sort >"$scratch/wanted"
  offered "$line" | LC_ALL=C sort | diff "$scratch/wanted" - || fail "'$line' offers other words"
}
# shellcheck disable=SC2046 # words
{
  offers_only 'multiserver serve --limit ' $(limits_of_command | sed 's/$/=/')
  offers_only 'multiserver serve --limit buffered=1'
  offers_only 'multiserver serve --scope ' $(scopes_of_command --scope)
  offers_only 'multiserver serve --print-addresses ' $(scopes_of_command --print-addresses)
  offers_only 'multiserver connect --security ' $(levels_of_command)
  offers_only 'multiserver serve --trusted-proxy 127.0.0.1'
  offers_only 'multiserver serve --trusted-proxy 2001:db8::/32=' $(ways_of_command | sed 's|^|2001:db8::/32=|')
  offers_only 'multiserver serve --trusted-proxy=127.0.0.1=' $(ways_of_command | sed 's/^/--trusted-proxy=127.0.0.1=/')
}
# shellcheck disable=SC2046 # words
{
  offers_only 'multiserver connect --prefer ' $(stacks_of_command)
  offers_only 'multiserver connect --prefer unix~t' $(stacks_of_command | grep '^unix~t')
  offers_only 'multiserver address --stacks ' $(stacks_of_command)
  offers_only 'multiserver address --stacks net~shs,ws' $(stacks_of_command | grep ^ws | sed 's/^/net~shs,/')
}
for words in connect check address 'serve --forward'; do
  offers "multiserver $words @f" @friends
  offers "multiserver $words @p" @pages/
done
offers 'multiserver serve --forward=@f' --forward=@friends
for line in 'serve --echo' 'serve --metrics' id; do
  ! offered "multiserver $line @f" | grep friends || fail "'$line' offers a file"
done
offers_only 'multiserver serve --scope=d' --scope=device
offers_only 'multiserver serve --http-root ' pages/
offers 'multiserver serve --unix-group ro' root
offers 'multiserver serve --exec fis' fish
offers 'multiserver serve --key=f' --key=friends
