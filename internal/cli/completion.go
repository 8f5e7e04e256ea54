package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Bash  bashCommand  `cmd:"" help:"For bash: source <(grapnel completion bash)"`
	Zsh   zshCommand   `cmd:"" help:"For zsh: source <(grapnel completion zsh)"`
	Fish  fishCommand  `cmd:"" help:"For fish: grapnel completion fish | source"`
	Words wordsCommand `cmd:"" hidden:"" passthrough:"" help:"Print the candidates for the last word. The shells' scripts call it."`
}

// The scripts call the program itself, so that they complete the commands of the installed
// version. If the program has no candidates, the shells offer files.
//
// github.com/jotaen/kong-completion is no replacement: `source <(grapnel completion bash)`, which users
// have in their shells' start-up files, would print instructions there instead of a script, and it fixes the
// binary's path and offers no files in fish.
const (
	bashScript = `_grapnel() {
  local IFS=$'\n'
  COMPREPLY=($("$1" completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _grapnel grapnel
`
	zshScript = `#compdef grapnel
_grapnel() {
  local -a found
  found=("${(@f)$("${words[1]}" completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if (( ${#found} )) && [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _grapnel grapnel
`
	fishScript = `function __grapnel_words
  set -l words (commandline -opc) (commandline -ct)
  $words[1] completion words -- $words[2..-1] 2>/dev/null
end
complete -c grapnel -a '(__grapnel_words)'
`
)

type bashCommand struct{}

// Run prints the script for bash.
func (bashCommand) Run(s Streams) error { return script(s, bashScript) }

type zshCommand struct{}

// Run prints the script for zsh.
func (zshCommand) Run(s Streams) error { return script(s, zshScript) }

type fishCommand struct{}

// Run prints the script for fish.
func (fishCommand) Run(s Streams) error { return script(s, fishScript) }

func script(s Streams, text string) error {
	_, err := fmt.Fprint(s.Out, text)
	return err
}

type wordsCommand struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints the candidates for the last word, one per line.
func (c *wordsCommand) Run(parsed *kong.Context, s Streams) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	// Bash splits --flag=value into three words, and --flag= into two.
	if last := len(words) - 1; last >= 0 && words[last] == "=" {
		words = append(slices.Clone(words[:last]), "")
	}
	words = slices.DeleteFunc(slices.Clone(words), func(word string) bool { return word == "=" })
	for _, word := range candidates(parsed.Model.Node, words) {
		fmt.Fprintln(s.Out, word)
	}
	return nil
}

// candidates returns the possible completions of the last word, given the words before it.
func candidates(at *kong.Node, words []string) (found []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	for i := 0; i < len(words)-1; i++ {
		word := words[i]
		if flag := flagNamed(at, word); flag != nil && !flag.IsBool() {
			if i == len(words)-2 {
				return beginning(flag.EnumSlice(), last)
			}
			i++ // skip the flag's value
			continue
		}
		for _, child := range at.Children {
			if child.Name == word {
				at = child
				break
			}
		}
	}
	if name, value, ok := strings.Cut(last, "="); ok && strings.HasPrefix(name, "--") {
		if flag := flagNamed(at, name); flag != nil {
			for _, v := range beginning(flag.EnumSlice(), value) {
				found = append(found, name+"="+v)
			}
		}
		return found
	}
	for _, child := range at.Children {
		if !child.Hidden {
			found = append(found, child.Name)
		}
	}
	if strings.HasPrefix(last, "-") || len(at.Children) == 0 && len(at.Positional) == 0 {
		for _, group := range at.AllFlags(true) {
			for _, flag := range group {
				found = append(found, "--"+flag.Name)
			}
		}
	}
	return beginning(found, last)
}

func flagNamed(at *kong.Node, word string) *kong.Flag {
	for _, group := range at.AllFlags(false) {
		for _, flag := range group {
			if "--"+flag.Name == word {
				return flag
			}
		}
	}
	return nil
}

func beginning(list []string, with string) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" || !strings.HasPrefix(s, with) })
	slices.Sort(list)
	return list
}
