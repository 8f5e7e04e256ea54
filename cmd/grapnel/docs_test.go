package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"grapnel/internal/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md and docs/cli.md")

// docs/configuration.md and docs/cli.md match the binary's flags. To write them:
// go test ./cmd/grapnel -run TestDocuments -update
func TestDocuments(t *testing.T) {
	t.Parallel()
	model := kong.Must(&commands{}, kong.Name("grapnel"), kong.DefaultEnvars(config.EnvPrefix)).Model
	for path, text := range map[string][]byte{
		"../../docs/configuration.md": configurationDocument(model),
		"../../docs/cli.md":           cliDocument(model),
	} {
		if *update {
			require.NoError(t, os.WriteFile(path, text, 0o644))
		}
		have, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(text), string(have), "%s does not match the flags; write it with -update", path)
	}
}

// processes are the commands that run as long-lived processes.
var processes = []string{"serve", "api", "worker"}

// configurationDocument returns the text of docs/configuration.md.
func configurationDocument(model *kong.Application) []byte {
	var b bytes.Buffer
	b.WriteString(`# Configuration

Every setting is a flag and an environment variable; the flag takes precedence. This table is generated from the flags; ` + "`grapnel serve --help`" + ` prints
the same. Temporal has its standard ` + "`TEMPORAL_*`" + ` variables (` + "`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_TLS`" + `, …), and tracing has
OpenTelemetry's ` + "`OTEL_*`" + ` variables. A process checks all settings when it starts and reports all mistakes together.

| flag | environment | default | processes | meaning |
|---|---|---|---|---|
`)
	of := map[string][]string{}
	var flags []*kong.Flag
	for _, name := range processes {
		for _, f := range findCommand(model, name).Flags {
			if f.Name == "help" {
				continue
			}
			if of[f.Name] == nil {
				flags = append(flags, f)
			}
			of[f.Name] = append(of[f.Name], name)
		}
	}
	slices.SortFunc(flags, func(a, b *kong.Flag) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range flags {
		in := strings.Join(of[f.Name], ", ")
		if len(of[f.Name]) == len(processes) {
			in = "all"
		}
		fmt.Fprintf(&b, "| `--%s` | %s | %s | %s | %s |\n", f.Name, code(f.Envs...), code(f.Default), in, cell(f.Help))
	}
	return b.Bytes()
}

// cliDocument returns the text of docs/cli.md.
func cliDocument(model *kong.Application) []byte {
	var b bytes.Buffer
	b.WriteString("# Command line\n\nGenerated from the commands; `grapnel COMMAND --help` prints the same. The settings of processes are in [configuration.md](configuration.md).\n")
	var section func(n *kong.Node)
	section = func(n *kong.Node) {
		for _, child := range n.Children {
			if child.Hidden {
				continue
			}
			if len(child.Children) > 0 {
				section(child)
				continue
			}
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n`grapnel %s`\n", child.FullPath(), child.Help, child.Summary())
			if child.Detail != "" {
				fmt.Fprintf(&b, "\n%s\n", child.Detail)
			}
			if !slices.Contains(processes, child.Name) {
				arguments(&b, child)
			}
		}
	}
	section(model.Node)
	return b.Bytes()
}

// arguments writes the table of a command's arguments and flags.
func arguments(b *bytes.Buffer, n *kong.Node) {
	var rows []string
	for _, p := range n.Positional {
		rows = append(rows, fmt.Sprintf("| `%s` | | %s | %s |\n", p.Summary(), code(p.Default), cell(p.Help)))
	}
	for _, f := range n.Flags {
		if f.Name != "help" {
			rows = append(rows, fmt.Sprintf("| `--%s` | %s | %s | %s |\n", f.Name, code(f.Envs...), code(f.Default), cell(f.Help)))
		}
	}
	if len(rows) > 0 {
		b.WriteString("\n| argument | environment | default | meaning |\n|---|---|---|---|\n" + strings.Join(rows, ""))
	}
}

func findCommand(model *kong.Application, name string) *kong.Node {
	return model.Children[slices.IndexFunc(model.Children, func(n *kong.Node) bool { return n.Name == name })]
}

// code formats texts as code, separated by commas. It leaves out empty texts.
func code(texts ...string) string {
	var list []string
	for _, text := range texts {
		if text != "" && text != "-" {
			list = append(list, "`"+text+"`")
		}
	}
	return strings.Join(list, ", ")
}

// cell formats text for a table's cell.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
