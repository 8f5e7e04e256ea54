package delivery

import "time"

// Window is the time in which one activity may work: until its deadline, and until its worker
// stops.
type Window struct {
	// deadline is by the clock of the process, which may differ from the engine's.
	deadline time.Time
	// worker and run are closed when the worker stops, and when the run of it stops in which
	// the activity began.
	worker, run <-chan struct{}
}

// Window returns the window of an activity that must end by the deadline and whose worker
// closes stopping when it stops.
func (e *Engine) Window(deadline time.Time, stopping <-chan struct{}) Window {
	return Window{deadline: deadline, worker: stopping, run: e.stopped()}
}

// IsStopping reports whether the worker stops: nothing new may begin.
func (w Window) IsStopping() bool {
	select {
	case <-w.worker:
		return true
	case <-w.run:
		return true
	default:
		return false
	}
}

// whenStopping calls f when the worker stops, unless end is called before.
func (w Window) whenStopping(f func()) (end func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-w.worker:
			f()
		case <-w.run:
			f()
		case <-done:
		}
	}()
	return func() { close(done) }
}
