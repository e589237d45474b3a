// ovloom completion: scripts for shells. They ask complete.go for every word.

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

func (p *program) completionCommand() *cli.Command {
	return p.takes(&cli.Command{
		Name: "completion", Usage: "print a script that completes commands, flags and names", Action: p.showCompletion,
		Description: `SHELL is bash, zsh or fish.

   ovloom completion bash > /etc/bash_completion.d/ovloom
   ovloom completion zsh > "${fpath[1]}/_ovloom"
   ovloom completion fish > ~/.config/fish/completions/ovloom.fish`,
	}, argument{usage: "SHELL", words: oneOf(shells()...)})
}

func (p *program) showCompletion(c *cli.Context) error {
	shell, err := onlyArgument(c)
	if err != nil {
		return err
	}
	script, ok := completionScripts[shell]
	if !ok {
		return intent.Invalidf("there is no completion for shell %q", shell).WithHint("choose %s", strings.Join(shells(), ", "))
	}
	_, err = fmt.Fprint(p.stdout, script)
	return err
}

func shells() []string {
	var names []string
	for name := range completionScripts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// completeCommand is the command that the scripts call, with the words up to the cursor.
// It is not in the command tree, because users have no use for it.
const completeCommand = "__complete"

// No space follows a word that ends in a slash or a colon: it is half a name.
var completionScripts = map[string]string{
	"bash": `# bash completion for ovloom
_ovloom() {
	local IFS=$'\n'
	COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
	if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/:] ]]; then
		compopt -o nospace 2>/dev/null
	fi
}
complete -F _ovloom ovloom
`,
	"zsh": `#compdef ovloom
_ovloom() {
	local -a found whole half
	found=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	local f
	for f in $found; do
		if [[ -z $f ]]; then continue; fi
		if [[ $f == *[/:] ]]; then half+=("$f"); else whole+=("$f"); fi
	done
	(( ${#whole} )) && compadd -- $whole
	(( ${#half} )) && compadd -S '' -- $half
	(( ${#whole} + ${#half} ))
}
if [[ $funcstack[1] == _ovloom ]]; then
	_ovloom "$@"
else
	compdef _ovloom ovloom
fi
`,
	"fish": `# fish completion for ovloom
function __ovloom_complete
	set -l words (commandline -opc) (commandline -ct)
	$words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c ovloom -f -a '(__ovloom_complete)'
`,
}
