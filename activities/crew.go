package activities

import "time"

// crew runs functions, each on a goroutine of its own, which stays for a moment to run
// the next: a goroutine that is new has to grow its stack several times on the way
// through a request, which is as much work as signing it.
type crew struct {
	next chan func()
	// stopped is closed when those who begin now are to stay no longer.
	stopped func() <-chan struct{}
}

// crewPatience is how long a goroutine waits for the next function.
const crewPatience = 200 * time.Millisecond

func newCrew(stopped func() <-chan struct{}) *crew {
	return &crew{next: make(chan func()), stopped: stopped}
}

// do begins f at once.
func (c *crew) do(f func()) {
	select {
	case c.next <- f: // one waits
	default:
		go c.work(f)
	}
}

func (c *crew) work(f func()) {
	stopped := c.stopped()
	idle := time.NewTimer(crewPatience)
	defer idle.Stop()
	for {
		f()
		idle.Reset(crewPatience)
		select {
		case f = <-c.next:
		case <-idle.C:
			return
		case <-stopped:
			return
		}
	}
}
