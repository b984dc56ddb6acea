# Completes skerry command lines: the program itself says what may follow.
_skerry() {
  local cur words
  cur=${COMP_WORDS[COMP_CWORD]}
  words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  if [[ $cur == -* ]]; then words+=("$cur"); fi
  mapfile -t COMPREPLY < <(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur")
}
complete -o bashdefault -o default -F _skerry skerry
