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
	// held reports whether the deliveries are still this process's to send; nil if they always are.
	held func() bool
	// waited is the time between the order of the activity and its beginning, by Temporal's clock.
	waited time.Duration
}

// Window returns the window of an activity that must end by the deadline and whose worker
// closes stopping when it stops.
func (e *Engine) Window(deadline time.Time, stopping <-chan struct{}) Window {
	return Window{deadline: deadline, worker: stopping, run: e.stopped()}
}

// Waited returns the window with the time between the order of the activity and its beginning,
// by Temporal's clock.
func (w Window) Waited(d time.Duration) Window {
	w.waited = d
	return w
}

// IsStopping reports whether nothing new may begin: the worker stops, or the deliveries are no
// longer this process's to send.
func (w Window) IsStopping() bool {
	if w.held != nil && !w.held() {
		return true
	}
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
