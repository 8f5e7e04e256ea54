package delivery

import "time"

// goroutinePool runs functions, each on a goroutine of its own. A goroutine stays for a moment
// to run another function: a new one has to grow its stack several times on the way through a
// request, which is as much work as signing it.
type goroutinePool struct {
	next chan func()
	// stopped returns a channel that is closed when the goroutines that start now must end.
	stopped func() <-chan struct{}
}

// poolPatience is how long a goroutine waits for its next function.
const poolPatience = 200 * time.Millisecond

func newGoroutinePool(stopped func() <-chan struct{}) *goroutinePool {
	return &goroutinePool{next: make(chan func()), stopped: stopped}
}

// do starts f at once.
func (p *goroutinePool) do(f func()) {
	select {
	case p.next <- f: // an idle goroutine takes it
	default:
		go p.work(f)
	}
}

func (p *goroutinePool) work(f func()) {
	stopped := p.stopped()
	idle := time.NewTimer(poolPatience)
	defer idle.Stop()
	for {
		f()
		idle.Reset(poolPatience)
		select {
		case f = <-p.next:
		case <-idle.C:
			return
		case <-stopped:
			return
		}
	}
}
