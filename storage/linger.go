package storage

import "time"

// lingerRows is the number of rows from which a group does not linger: there is little to gain by more.
const lingerRows = 25

// gather waits until the next statement may begin (see linger).
func (g *group[T]) gather(l *lane[T]) {
	gap, enough := g.beginGathering(l)
	if gap <= 0 {
		return
	}
	timer := time.NewTimer(gap)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-enough:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	l.enough = nil
}

// beginGathering returns how long to wait for the next statement; 0 or less if it may begin now, or if another run of
// the lane waits for it.
func (g *group[T]) beginGathering(l *lane[T]) (gap time.Duration, enough <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gap = g.linger - time.Since(l.began)
	if gap <= 0 || l.rows == 0 || l.rows >= lingerRows || l.enough != nil {
		return 0, nil
	}
	l.enough = make(chan struct{})
	return gap, l.enough
}
