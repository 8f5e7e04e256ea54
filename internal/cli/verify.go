package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"grapnel/internal/hook"
)

type verifyCommand struct {
	File      string        `arg:"" optional:"" default:"-" help:"File with the unchanged request: headers, an empty line, the body. Default: standard input."`
	Secret    hook.Secret   `required:"" env:"GRAPNEL_SECRET" placeholder:"SECRET" help:"The webhook's secret."`
	Profile   string        `enum:",standard,momento,commenda" default:"" env:"-" help:"Profile of the request: standard, momento or commenda. Default: by its headers."`
	Tolerance time.Duration `env:"-" help:"How old a signed timestamp may be. 0 accepts any age, because a saved request is old."`
}

// mostSaved is the largest saved request, in bytes; deliveries are far smaller.
const mostSaved = 16 << 20

// Run verifies a request.
func (c *verifyCommand) Run(_ context.Context, s Streams) error {
	in, _, err := s.open(c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, mostSaved))
	if err != nil {
		return err
	}
	header, body, err := parseRequest(raw)
	if err != nil {
		return failf(codeWrong, "%w", err)
	}
	profile := hook.Profile(c.Profile)
	if profile == "" {
		profile = profileOf(header)
	}
	list := signatures(profile, c.Secret.Reveal(), header, body)
	if len(list) == 0 {
		return failf(codeNo, "the request has no signature%s", of(profile))
	}
	p := &printer{colour: s.Colour}
	good := true
	rows := [][]string{{"HEADER", "PROFILE", "SIGNATURE"}}
	for _, signature := range list {
		verdict := "fits"
		if !signature.fits {
			verdict, good = "does not fit", false
		}
		rows = append(rows, []string{signature.header, string(profile), verdict})
	}
	p.table(rows)
	if !good {
		p.explained(profile, c.Secret, header, body, time.Now())
	}
	if _, err := io.WriteString(s.Out, p.text.String()); err != nil {
		return err
	}
	if !good {
		return failf(codeNo, "the request does not verify")
	}
	return c.age(header.Get("Webhook-Timestamp"), s)
}

func of(p hook.Profile) string {
	if p == "" {
		return ""
	}
	return " of the profile " + string(p)
}

// age compares the signed timestamp with the clock.
func (c *verifyCommand) age(stamp string, s Streams) error {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return nil //nolint:nilerr // most profiles sign no time
	}
	age := time.Since(time.Unix(seconds, 0)).Round(time.Second)
	fmt.Fprintf(s.Err, "signed %s ago\n", age)
	if c.Tolerance > 0 && age.Abs() > c.Tolerance {
		return failf(codeNo, "the signature fits, but its timestamp differs by more than %s", c.Tolerance)
	}
	return nil
}
