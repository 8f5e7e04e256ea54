package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	grapnelapi "grapnel/clients/go"
	"grapnel/internal/diagnose"
	"grapnel/internal/hook"
)

type diagnoseDeliveryCommand struct {
	connection
	output
	ID       string      `arg:"" help:"The delivery's id."`
	Headers  string      `required:"" env:"-" placeholder:"FILE" help:"File with the headers that the receiver got: one in a line, or a JSON object. - is standard input."`
	Body     string      `required:"" env:"-" placeholder:"FILE" help:"File with the body that the receiver got, byte for byte. - is standard input."`
	Secret   hook.Secret `env:"GRAPNEL_SECRET" placeholder:"SECRET" help:"The secret, or the public key whpk_, that the receiver verifies with."`
	Computed string      `env:"-" placeholder:"SIGNATURE" help:"The signature that the receiver's own code computed."`
}

// Run compares what a receiver got with what was sent.
func (c *diagnoseDeliveryCommand) Run(ctx context.Context, s Streams) error {
	if c.Headers == "-" && c.Body == "-" {
		return failf(codeWrong, "--headers and --body cannot both be standard input")
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	raw, err := s.whole(c.Headers)
	if err != nil {
		return err
	}
	headers, err := parseHeaders(raw)
	if err != nil {
		return failf(codeWrong, "--headers %s: %w", c.Headers, err)
	}
	received, err := s.whole(c.Body)
	if err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString(received)
	d, err := take[grapnelapi.Diagnosis](client.DiagnoseDeliveryWithResponse(ctx, c.ID, grapnelapi.DiagnoseRequest{
		Headers: headers, BodyBase64: &text, Secret: given(c.Secret.Reveal()), ComputedSignature: given(c.Computed),
	}))
	if err != nil {
		return err
	}
	if err := c.show(s, d.raw, func(p *printer) { p.diagnosis(&d.value) }); err != nil {
		return err
	}
	if d.value.Verdict != "verified" {
		return failf(codeNo, "the request does not verify: %s", reasonOf(string(d.value.Verdict)))
	}
	return nil
}

// reasonOf returns the name of a cause in words.
func reasonOf(cause string) string { return strings.ReplaceAll(cause, "_", " ") }

// whole reads a file, or standard input for "-".
func (s Streams) whole(name string) ([]byte, error) {
	in, _, err := s.open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, mostSaved+1))
	if err != nil {
		return nil, failf(codeWrong, "%w", err)
	}
	if len(raw) > mostSaved {
		return nil, failf(codeWrong, "%s is larger than %d bytes", name, mostSaved)
	}
	return raw, nil
}

// parseHeaders parses headers, one in a line, with or without the first line of the request; or a JSON object whose
// values are texts or lists of texts.
func parseHeaders(raw []byte) (map[string]string, error) {
	found := http.Header{}
	if trimmed := bytes.TrimSpace(raw); bytes.HasPrefix(trimmed, []byte("{")) {
		var values map[string]any
		if err := json.Unmarshal(trimmed, &values); err != nil {
			return nil, fmt.Errorf("is not JSON: %w", err)
		}
		for name, value := range values {
			list, ok := value.([]any)
			if !ok {
				list = []any{value}
			}
			for _, v := range list {
				text, ok := v.(string)
				if !ok {
					return nil, fmt.Errorf("the value of %q is no text", name)
				}
				found.Add(name, text)
			}
		}
	} else {
		lines := append(bytes.TrimRight(requestLine.ReplaceAll(raw, nil), "\r\n"), "\n\n"...)
		mime, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(lines))).ReadMIMEHeader()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("cannot be parsed: %w", err)
		}
		found = http.Header(mime)
	}
	headers := make(map[string]string, len(found))
	for name, values := range found {
		headers[name] = strings.Join(values, ", ")
	}
	return headers, nil
}

// diagnosis prints a diagnosis.
func (p *printer) diagnosis(d *grapnelapi.Diagnosis) {
	compared := ""
	if !d.BodyCompared {
		compared = "no: the body that was sent cannot be rebuilt"
	}
	attempt := ""
	if d.Attempt != nil {
		attempt = number(*d.Attempt)
	}
	p.facts("verdict", reasonOf(string(d.Verdict)), "attempt", attempt, "body compared", compared)
	if len(d.Findings) == 0 {
		p.facts("summary", d.Summary)
	}
	for i := range d.Findings {
		f := &d.Findings[i]
		p.text.WriteByte('\n')
		pairs := []string{"cause", reasonOf(string(f.Cause)), "summary", clean(f.Summary), "next step", f.NextStep, "valid until", moment(f.ValidUntil)}
		if f.Difference != nil {
			pairs = append(pairs, "sent", clean(f.Difference.Sent), "received", clean(f.Difference.Received))
		}
		p.facts(pairs...)
	}
}

// explained prints why a saved request does not verify, as far as the request and the secret show.
func (p *printer) explained(profile hook.Profile, secret hook.Secret, h http.Header, body []byte, now time.Time) {
	report := diagnose.Diagnose(diagnose.Case{Profile: profile, Received: diagnose.Request{Header: h, Body: body}, Given: secret, Now: now})
	for _, f := range report.Findings {
		pairs := []string{"cause", reasonOf(string(f.Cause)), "summary", clean(f.Summary), "next step", f.NextStep}
		if d := f.Difference; d != nil {
			pairs = append(pairs, "sent", clean(string(d.Sent)), "received", clean(string(d.Received)))
		}
		p.text.WriteByte('\n')
		p.facts(pairs...)
	}
}
