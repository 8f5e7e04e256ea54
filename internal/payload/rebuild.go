package payload

import (
	"time"

	"grapnel/internal/hook"
)

// sendingLag is how long building and signing a request may take, from the time that a momento body shows to the time
// at which its attempt began.
const sendingLag = 100 * time.Millisecond

// Rebuild returns the body that an attempt sent; nil if it can't be told. profile and webhook are those of the
// delivery, and startedAt is when the attempt began. Only the momento profile's body depends on the time of sending,
// which the log does not have exactly: signed reports whether a body is the one that was signed.
func Rebuild(profile hook.Profile, e *hook.Event, webhook hook.WebhookID, startedAt time.Time, signed func(body []byte) bool) []byte {
	switch profile {
	case hook.ProfileStandard:
		return StandardBody(e)
	case hook.ProfileCommenda:
		return CommendaBody(e, webhook)
	case hook.ProfileMomento:
		for lag := time.Duration(0); lag <= sendingLag; lag += time.Millisecond {
			if body := MomentoBody(e, startedAt.Add(-lag)); signed(body) {
				return body
			}
		}
	}
	return nil
}
