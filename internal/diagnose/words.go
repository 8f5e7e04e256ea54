package diagnose

import (
	"strconv"
	"time"
)

// The next steps of the causes.
const (
	nextEmpty        = "Read the raw body before a framework's parser consumes it, and verify those bytes."
	nextTruncated    = "Look for a limit on bodies in the receiver, its framework and the proxy before it, and read the body to its end."
	nextReserialized = "Verify the raw bytes of the body, before they are parsed. In Express use express.raw, in Next.js req.text(), in Flask request.get_data()."
	nextAltered      = "Verify the raw bytes of the body as they arrive. Look for middleware, a gateway or a proxy that decodes or changes bodies."
	nextMissing      = "Look for a proxy, a gateway or a framework that drops or renames headers it does not know, and let this one through."
	nextHeader       = "Look for a proxy, a gateway or code that changes headers, and pass this one on unchanged."
	nextAnother      = "Diagnose the delivery that the request is of, or paste the request of this one."
	nextSecret       = "Show the webhook's secret, and copy the whole of it to the receiver. A secret that was rotated out is forgotten when it expires."
	nextSpace        = "Remove the white space: often it is the line break at the end of a file or a variable."
	nextPublic       = "Fetch the public keys at /.well-known/webhook-keys; each account has its own."
	nextRotated      = "Give the receiver the webhook's current secret. For the next rotation, let the receiver accept both secrets during the overlap."
	nextOther        = "Give the receiver the secret of this delivery's webhook. Each webhook has a secret of its own."
	nextUnexplained  = "Check that the secret is this webhook's current one, that the body is the raw one, byte for byte, and that no header is missing. The operation diagnose of the delivery compares with what was sent."
	nextClock        = "Synchronise the receiver's clock by NTP. If it is right, the request waited in a queue: verify it before it is queued."
)

func count(n int) string { return strconv.Itoa(n) }

func place(d *Difference) string {
	return "The first byte that differs is number " + count(d.At) + ", counted from 0."
}

// span writes a difference of time with its sign.
func span(d time.Duration) string {
	if d > 0 {
		return "+" + d.String()
	}
	return d.String()
}

func (d *diagnosis) otherWebhook(s Secret) {
	d.add(Finding{Cause: AnotherWebhook, Webhook: s.Webhook, Summary: "The secret is that of another webhook, " + s.Webhook.String() + ".", NextStep: nextOther})
}

func (d *diagnosis) rotated(until time.Time, header string) {
	f := Finding{Cause: Rotated, Header: header, Until: until, NextStep: nextRotated}
	switch {
	case header != "" && until.IsZero():
		f.Summary = "The header " + header + " was signed with a secret that has been rotated out and forgotten since."
	case header != "":
		f.Summary = "The header " + header + " was signed with a secret that was rotated out, and is valid until " + moment(until) + "."
	case until.IsZero():
		f.Summary = "The request was signed with another secret of this webhook: the secret was rotated between this attempt and now."
	default:
		f.Summary = "The secret was rotated: the one before is valid until " + moment(until) + ", and the receiver and the request do not use the same one."
	}
	for _, known := range d.report.Findings {
		if known.Cause == Rotated {
			return // one finding is enough, the first says most
		}
	}
	d.add(f)
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// wrongKey adds the finding for a key that was made from the right secret in a wrong way.
func (d *diagnosis) wrongKey(wrong Cause) {
	texts, ok := map[Cause][2]string{
		PrefixStripped: {
			"The prefix whsec_ was cut off the secret. X-Webhook-Signature, momento-signature and Commenda-X-Secret are made with the whole secret as text.",
			"Use the secret as it is shown, with whsec_. Only for webhook-signature do libraries of Standard Webhooks accept it without the prefix.",
		},
		KeyDecoded: {
			"The secret was decoded from base64. X-Webhook-Signature, momento-signature and Commenda-X-Secret are made with its text, not with the decoded bytes.",
			"Use the bytes of the secret's text as the key. Only webhook-signature has the decoded bytes, after whsec_, as its key.",
		},
		KeyNotDecoded: {
			"The text of the secret was used as the key of webhook-signature. Standard Webhooks' v1 is made with the bytes that the base64 after whsec_ decodes to.",
			"Decode the part of the secret after whsec_ from base64 and use the bytes as the key, or use a library of Standard Webhooks.",
		},
	}[wrong]
	if ok {
		d.add(Finding{Cause: wrong, Summary: texts[0], NextStep: texts[1]})
	}
}

// clock compares the receiver's clock with the signed timestamp.
func (d *diagnosis) clock() {
	if d.ReceivedAt.IsZero() || d.found(TimestampOff) {
		return
	}
	seconds, err := strconv.ParseInt(d.Received.Header.Get(webhookTimestamp), 10, 64)
	if err != nil {
		return // the other profiles sign no time
	}
	offset := d.ReceivedAt.Sub(time.Unix(seconds, 0)).Round(time.Second)
	if offset.Abs() <= d.Tolerance {
		return
	}
	d.add(Finding{
		Cause: TimestampOff, Header: shownName(webhookTimestamp), Offset: offset, NextStep: nextClock,
		Summary: "The receiver's clock at the arrival is off by " + span(offset) + " from webhook-timestamp, more than the " + d.Tolerance.String() + " that receivers accept.",
	})
}

func (d *diagnosis) unexplained() {
	summary := "The signature does not verify, and the request alone does not show why."
	if len(d.Attempts) > 0 && !d.report.BodyKnown {
		summary = "The signature does not verify with the body that arrived. The body that was sent can't be rebuilt any more, so either the body or the secret differs."
	}
	d.add(Finding{Cause: Unexplained, Summary: summary, NextStep: nextUnexplained})
}
