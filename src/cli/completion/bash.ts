/** What bash is to load. It needs nothing of the bash-completion package. */

/**
 * bash takes "testbox:/etc" and "--mode=direct" apart at what COMP_WORDBREAKS has, and replaces only what is
 * behind the last of these: words that nothing stands between are joined again, and candidates cut.
 */
export const BASH_SCRIPT = `# bash completion of banger
__banger_complete() {
  local line=\${COMP_LINE:0:COMP_POINT} words=() rest trimmed word i
  rest=$line
  for ((i = 0; i <= COMP_CWORD; i++)); do
    trimmed=\${rest#"\${rest%%[![:space:]]*}"}
    word=\${COMP_WORDS[i]}
    ((i == COMP_CWORD)) && word=$trimmed
    if ((i > 0)) && [[ $trimmed == "$rest" ]]; then
      words[\${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
    rest=\${trimmed#"$word"}
  done
  local cur=\${words[\${#words[@]}-1]} directive=4 value lines=()
  while IFS= read -r line; do
    lines+=("$line")
  done < <("\${words[0]}" complete -- "\${words[@]:1}" 2>/dev/null)
  ((\${#lines[@]} > 0)) || return 0
  directive=\${lines[\${#lines[@]}-1]#:}
  unset "lines[\${#lines[@]}-1]"
  [[ $cur == -*=* ]] && cur=\${cur#*=}
  local cut=""
  [[ $cur == *[:=]* && $COMP_WORDBREAKS == *:* ]] && cut=\${cur%"\${cur##*[:=]}"}
  COMPREPLY=()
  for line in "\${lines[@]}"; do
    value=\${line%%$'\\t'*}
    COMPREPLY+=("\${value#"$cut"}")
  done
  ((directive & 2)) && compopt -o nospace
  if ((!(directive & 4))); then
    if ((\${#COMPREPLY[@]} == 0)); then
      compopt -o default
    else
      while IFS= read -r value; do
        COMPREPLY+=("$value")
      done < <(compgen -f -- "$cur")
    fi
  fi
  return 0
}
complete -F __banger_complete banger`;
