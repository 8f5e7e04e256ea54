package crash

import (
	"context"
	"math/rand/v2"
	"time"

	"grapnel/internal/wait"
)

// Strike is one planned strike.
type Strike struct {
	Number int
	Damage Damage
	// At is the time since the beginning of publishing.
	At time.Duration
	// For is how long the struck part stays down or broken.
	For time.Duration
	// Pick decides all other choices, such as which process is struck.
	Pick uint64
	// Stage is the variant, if the damage has stages.
	Stage int
	// Size is a number of deliveries in a backlog or of large events.
	Size int
	// While is called while something is down or broken, instead of waiting: see Hold.
	While func(ctx context.Context, t Target) error
	// Stir loads an API so that it is in the middle of a transaction; nil means no load.
	Stir func(ctx context.Context, api string)
	// Occupy returns when first attempts of the API's process are in flight, and others wait.
	Occupy func(ctx context.Context, api string) error
}

// Target is the part that a strike has hit.
type Target struct {
	// API is the base URL of the API; empty for other processes.
	API string
	// Note describes the target further.
	Note string
}

// Hold returns when the strike is to end. The Stack calls it while it keeps something down or broken.
func (s *Strike) Hold(ctx context.Context, t Target) error {
	if s.While != nil {
		return s.While(ctx, t)
	}
	return wait.For(ctx, s.For)
}

// Choose returns a number below n.
func (s *Strike) Choose(n int) int { return int(s.Pick % uint64(n)) } //nolint:gosec // n is small and positive

// name returns the strike's name in messages.
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

// Struck is the record of a strike.
type Struck struct {
	Strike
	// Begin is when the strike began, and End when everything answered again.
	Begin, End time.Time
	// Killed is the number of processes that it ended, by any signal.
	Killed int
	// Target is what was hit; Held are the times at which the outage began and ended.
	Target Target
	Held   [2]time.Time
	// Locked is the row that LockRows has locked.
	Locked Locked
	// Probes are the neighbours' publishes during the strike.
	Probes []Probe
	// Ending is the result of EndWebhooks.
	Ending *Ending
}

const (
	// firstStrike is the time before the first strike, in which the load begins.
	firstStrike = 2 * time.Second
	// These are the least and the most time between the beginnings of two strikes. Strikes of one kind also wait for
	// one another.
	aloneLeast, aloneMost       = 4 * time.Second, 8 * time.Second
	togetherLeast, togetherMost = 1 * time.Second, 5 * time.Second
)

// Plan returns the strikes and their times for a given length of publishing; stages take as long as they need. The
// same seed gives the same plan.
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
	// The order is random, but each kind comes once before any kind comes again.
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

// betweenStages is the pause in which the effects of one stage end before the next stage begins.
const betweenStages = 2 * time.Second

// stages returns the stages of a damage in random order.
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

// numberOf returns a number that gives each damage its own random numbers.
func numberOf(d Damage) uint64 {
	for i, other := range Damages() {
		if d == other {
			return uint64(i)
		}
	}
	return 0
}
