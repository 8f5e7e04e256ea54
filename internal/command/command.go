// Package command runs a program's commands with kong.
package command

import (
	"errors"

	"github.com/alecthomas/kong"
)

// Run reads args into grammar, a pointer to a struct with kong's tags, and calls run with the result. After --help it
// returns nil and doesn't call run: kong would end the process there, and the program could not close what it has open.
func Run(grammar any, args []string, run func(*kong.Context) error, options ...kong.Option) (err error) {
	exited := errors.New("exit")
	parser, err := kong.New(grammar, append(options, kong.Exit(func(int) { panic(exited) }))...)
	if err != nil {
		return err
	}
	defer func() {
		if v := recover(); v == any(exited) {
			err = nil
		} else if v != nil {
			panic(v)
		}
	}()
	parsed, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return run(parsed)
}
