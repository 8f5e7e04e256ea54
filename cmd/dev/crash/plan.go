package crash

import (
	"math/rand/v2"
	"time"
)

// Strike is one blow, as planned.
type Strike struct {
	Number int
	Damage Damage
	// At is when, since publishing began.
	At time.Duration
	// For is how long what is struck stays down or broken.
	For time.Duration
	// Pick decides what else there is to choose, such as which process.
	Pick uint64
}

// Choose is a number below n.
func (s *Strike) Choose(n int) int { return int(s.Pick % uint64(n)) } //nolint:gosec // n is small and positive

// Struck is a strike as it was.
type Struck struct {
	Strike
	// Begin is when it began, End when everything answered again.
	Begin, End time.Time
	// Killed is how many processes it ended, by whatever signal.
	Killed int
}

const (
	// firstStrike leaves time for something to be under way.
	firstStrike = 2 * time.Second
	// alone and together are the least and the most time between the beginnings of two
	// strikes; those of one kind wait for one another besides.
	aloneLeast, aloneMost       = 4 * time.Second, 8 * time.Second
	togetherLeast, togetherMost = 1 * time.Second, 5 * time.Second
)

// Plan is what is struck, and when, while publishing lasts. The same seed gives
// the same plan.
func Plan(seed uint64, d Damage, length time.Duration) []Strike {
	if d == None {
		return nil
	}
	kinds, least, most := []Damage{d}, aloneLeast, aloneMost
	if d == All {
		kinds, least, most = Mixed(), togetherLeast, togetherMost
	}
	r := rand.New(rand.NewPCG(seed, numberOf(d)))
	var plan []Strike
	// Mixed kinds come in a shuffled order, each once before any comes again.
	var order []int
	for at := firstStrike; at < length; at += between(r, least, most) {
		if len(order) == 0 {
			order = r.Perm(len(kinds))
		}
		kind := kinds[order[0]]
		order = order[1:]
		bounds := Of(kind).length
		plan = append(plan, Strike{
			Number: len(plan) + 1, Damage: kind, At: at, For: between(r, bounds[0], bounds[1]), Pick: r.Uint64(),
		})
	}
	return plan
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// numberOf gives each damage random numbers of its own.
func numberOf(d Damage) uint64 {
	for i, other := range Damages() {
		if d == other {
			return uint64(i)
		}
	}
	return 0
}
