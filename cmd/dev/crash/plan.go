package crash

import (
	"context"
	"math/rand/v2"
	"time"

	"grapnel/internal/wait"
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
	// Stage is the variant, where the damage has stages.
	Stage int
	// Size is how much of something there is: a webhook's backlog, large events.
	Size int
	// While is what is done while something is down or broken, instead of waiting: see
	// Hold.
	While func(ctx context.Context, t Target) error
	// Stir is load for an API, to have something under way there; nil is none.
	Stir func(ctx context.Context, api string)
}

// Target is what a strike has hit.
type Target struct {
	// API is the base URL of an API; empty for other processes.
	API string
	// Note says more about it.
	Note string
}

// Hold is for the Stack to call while it keeps something down or broken; it returns
// when that is to end.
func (s *Strike) Hold(ctx context.Context, t Target) error {
	if s.While != nil {
		return s.While(ctx, t)
	}
	return wait.For(ctx, s.For)
}

// Choose is a number below n.
func (s *Strike) Choose(n int) int { return int(s.Pick % uint64(n)) } //nolint:gosec // n is small and positive

// name is what messages call it.
func (s *Strike) name() string {
	stages := map[Damage][]string{
		CutTemporal: {"silence", "resets"}, Freeze: {"an API", "a worker"}, LockRows: {"a topic", "an idempotency key", "a webhook"},
		EndWebhooks: {"410", "deleted", "disabled"},
	}[s.Damage]
	if s.Stage < len(stages) {
		return string(s.Damage) + " (" + stages[s.Stage] + ")"
	}
	return string(s.Damage)
}

// Struck is a strike as it was.
type Struck struct {
	Strike
	// Begin is when it began, End when everything answered again.
	Begin, End time.Time
	// Killed is how many processes it ended, by whatever signal.
	Killed int
	// Target is what was hit, Held from when until when it was down or broken.
	Target Target
	Held   [2]time.Time
	// Locked is what LockRows has locked.
	Locked Locked
	// Probes are the neighbours' publications of that time.
	Probes []Probe
	// Ending is what EndWebhooks found.
	Ending *Ending
}

const (
	// firstStrike leaves time for something to be under way.
	firstStrike = 2 * time.Second
	// alone and together are the least and the most time between the beginnings of two
	// strikes; those of one kind wait for one another besides.
	aloneLeast, aloneMost       = 4 * time.Second, 8 * time.Second
	togetherLeast, togetherMost = 1 * time.Second, 5 * time.Second
)

// Plan is what is struck, and when, while publishing lasts; stages take as long as they
// take. The same seed gives the same plan.
func Plan(seed uint64, d Damage, length time.Duration, short bool) []Strike {
	r := rand.New(rand.NewPCG(seed, numberOf(d)))
	if Of(d).Stages > 0 {
		return stages(r, d, short)
	}
	if d == None {
		return nil
	}
	kinds, least, most := kindsOf(d), aloneLeast, aloneMost
	if len(kinds) > 1 {
		least, most = togetherLeast, togetherMost
	}
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

// betweenStages is time for what comes to stand still or to be refused by one stage to
// come to its end before the next.
const betweenStages = 2 * time.Second

// stages are a damage's, in random order.
func stages(r *rand.Rand, d Damage, short bool) []Strike {
	var plan []Strike
	add := func(kind Damage, stage int, short bool) {
		t := traits()[kind]
		s := Strike{Damage: kind, Stage: stage, For: between(r, t.length[0], t.length[1]), Size: t.size[0], Pick: r.Uint64()}
		if short {
			s.Size = t.size[1]
		}
		if short && t.short > 0 {
			s.For = t.short
		}
		plan = append(plan, s)
	}
	for _, kind := range kindsOf(d) {
		if d == InTurn {
			add(kind, 0, true)
			continue
		}
		for stage := range traits()[kind].Stages {
			add(kind, stage, short)
		}
	}
	r.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	at := firstStrike
	for i := range plan {
		plan[i].Number, plan[i].At = i+1, at
		at += plan[i].For + betweenStages
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
