package main

import (
	"fmt"
	"io"
	"runtime/debug"
)

// A release sets these with -ldflags "-X main.releaseVersion=1.2.3 -X main.releaseCommit=… -X main.releaseDate=…".
var releaseVersion, releaseCommit, releaseDate string //nolint:gochecknoglobals // the linker sets only global variables

type versionCommand struct{}

// Run prints the version, and the commit and its date if the build has them.
func (versionCommand) Run(stdout io.Writer) error {
	info, _ := debug.ReadBuildInfo()
	_, err := fmt.Fprintln(stdout, "grapnel", describeBuild(info))
	return err
}

// version returns the binary's version, for the User-Agent, logs and traces.
func version() string {
	if releaseVersion != "" {
		return releaseVersion
	}
	return "devel"
}

// describeBuild joins version, commit and date. A build without -ldflags takes commit and date
// from info, Go's build information, which may be nil.
func describeBuild(info *debug.BuildInfo) string {
	commit, date := releaseCommit, releaseDate
	if info != nil {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && commit == "":
				commit = s.Value
			case s.Key == "vcs.time" && date == "":
				date = s.Value
			}
		}
	}
	text := version()
	if commit != "" {
		text += ", commit " + commit[:min(len(commit), 12)]
	}
	if date != "" {
		text += ", " + date
	}
	return text
}
