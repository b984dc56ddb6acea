#compdef skerry
# Completes skerry command lines: the program itself says what may follow.
_skerry() {
  local -a opts
  local cur=${words[CURRENT]}
  if [[ $cur == -* ]]; then
    opts=("${(@f)$(${words[1,CURRENT-1]} "$cur" --generate-bash-completion 2>/dev/null)}")
  else
    opts=("${(@f)$(${words[1,CURRENT-1]} --generate-bash-completion 2>/dev/null)}")
  fi
  if [[ -n ${opts[1]} ]]; then _describe skerry opts; else _files; fi
}
# Sourced it registers itself; as an autoloaded file it is already called.
if [[ ${funcstack[1]} == _skerry ]]; then _skerry "$@"; else compdef _skerry skerry; fi
