package dispatch

// Metrics counts what is started.
type Metrics interface {
	// Started counts a start, by who made it and of how many events; err says that it
	// failed. One that was found started counts as well.
	Started(by string, events int, err error)
	// Hurried counts a wait of a workflow that was ended.
	Hurried()
}

// Who starts workflows.
const (
	ByStarter    = "starter"
	BySweeper    = "sweeper"
	ByReconciler = "reconciler"
	// ForDrain is the start of a webhook's drain, whoever makes it.
	ForDrain = "drain"
	// ForReplay is that of a replay.
	ForReplay = "replay"
	ByHand    = "hand"
)

type uncounted struct{}

func (uncounted) Started(string, int, error) {}
func (uncounted) Hurried()                   {}
