/** The zsh completion script, for `source` or as a file "_banger" in $fpath. */
export const ZSH_SCRIPT = `#compdef banger
# zsh completion of banger
_banger() {
  local line value text directive
  local -a lines completions options
  lines=("\${(@f)$(banger complete -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  directive=\${lines[-1]#:}
  [[ $directive == <-> ]] || return 1
  lines[-1]=()
  [[ $PREFIX == -*=* ]] && compset -P '*='
  for line in "\${lines[@]}"; do
    value=\${line%%$'\\t'*}
    text=\${line#*$'\\t'}
    # A colon divides the two for _describe.
    completions+=("\${value//:/\\\\:}:$text")
  done
  ((directive & 2)) && options+=(-S '')
  ((\${#completions})) && _describe -V banger completions "\${options[@]}"
  ((directive & 4)) || _files
  return 0
}
if [[ \${funcstack[1]} == _banger ]]; then
  _banger
else
  ((\${+functions[compdef]})) || { autoload -U compinit && compinit }
  compdef _banger banger
fi`;
