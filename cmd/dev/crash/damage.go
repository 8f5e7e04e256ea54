// Package crash damages a running Grapnel while events are published at a steady rate, and then accounts for every
// event. The publisher keeps every response and the receiver keeps every request; an oracle compares both with the
// state in the API and PostgreSQL. A seed determines what is damaged and when. The package uses the product only by
// its HTTP API and its tables; the Stack that it gets kills processes.
package crash

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Damage is a kind of damage.
type Damage string

// The kinds of damage.
const (
	None            Damage = "none"
	KillAPI         Damage = "api"
	KillWorker      Damage = "worker"
	KillBoth        Damage = "both"
	KillTemporal    Damage = "temporal"
	LoseTemporal    Damage = "temporal-lost"
	KillBackend     Damage = "postgres-backend"
	StopPostgres    Damage = "postgres-immediate"
	FillConnections Damage = "postgres-connections"
	FillDisk        Damage = "postgres-disk"
	BreakDatabase   Damage = "network-postgres"
	BreakReceivers  Damage = "network-receiver"
	JumpClock       Damage = "clock"
	Roll            Damage = "rolling"
	// All is all kinds above in random order, several at once.
	All Damage = "all"

	// Each kind below tests one more promise (expect.go), in a number of stages, one after another.
	LoseNamespace  Damage = "namespace"
	StopTemporal   Damage = "temporal-stopped"
	CutTemporal    Damage = "temporal-cut"
	Freeze         Damage = "frozen"
	LockRows       Damage = "locks"
	EndWebhooks    Damage = "backlog"
	FillMemory     Damage = "memory"
	FewConnections Damage = "two-connections"
	LeapClock      Damage = "clock-ahead"
	AwayTemporal   Damage = "temporal-away"
	StallOwner     Damage = "owner-stalled"
	// InTurn is one stage of each kind that has a short form.
	InTurn Damage = "in-turn"
)

// Traits are the possible effects of a damage, and its size.
type Traits struct {
	// What describes the damage.
	What string
	// Repeats allows a request to be made again because its result may be unrecorded: at-least-once delivery. If it
	// is false, no request may be repeated.
	Repeats bool
	// Refuses allows a publish to get no response, or a 503.
	Refuses bool
	// Unreached allows a recorded attempt that never reached the receiver, because the network on the way is damaged.
	Unreached bool
	// Together runs API and worker in one process, so that the process that accepts an event makes its first attempts.
	Together bool
	// Off is the reason why the damage is not among the default ones; empty if it is.
	Off string
	// Stages is the number of strikes, each of another variant. 0 means as many strikes as there is time for.
	Stages int
	// length is the least and the most time that the damage lasts, without the time to recover.
	length [2]time.Duration
	// short is the length in the short form; 0 means length.
	short time.Duration
	// size is a number of deliveries or events, in the full form and in the short one.
	size [2]int
	// more is the extra time that a strike may take to recover.
	more time.Duration
}

// The stages of Freeze: the process that stands still.
const (
	FreezeAPI = iota
	FreezeWorker
	freezeStages
)

// The stages of LockRows: the locked row.
const (
	LockTopic = iota
	LockKey
	LockWebhook
	lockStages
)

// The stages of EndWebhooks: how the webhook ends.
const (
	EndGone = iota
	EndDeleted
	EndDisabled
	endStages
)

// seconds returns a range of durations.
func seconds(least, most float64) [2]time.Duration {
	return [2]time.Duration{time.Duration(least * float64(time.Second)), time.Duration(most * float64(time.Second))}
}

// traits returns the table of damages.
func traits() map[Damage]Traits {
	return map[Damage]Traits{
		None:            {What: "nothing is damaged"},
		KillAPI:         {What: "kill -9 of one API of two, or of both at once", Refuses: true, length: seconds(0.1, 2)},
		KillWorker:      {What: "kill -9 of one worker of two, or of both at once", Repeats: true, length: seconds(0.1, 2)},
		KillBoth:        {What: "kill -9 of all APIs and workers at once", Repeats: true, Refuses: true, length: seconds(0.1, 2)},
		KillTemporal:    {What: "kill -9 of the Temporal server", length: seconds(0.1, 4)},
		LoseTemporal:    {What: "Temporal's databases dropped and made anew", Repeats: true, length: seconds(0, 1)},
		KillBackend:     {What: "kill -9 of a PostgreSQL backend: all sessions end, crash recovery", Repeats: true, Refuses: true},
		StopPostgres:    {What: "PostgreSQL's immediate shutdown, and its start with crash recovery", Repeats: true, Refuses: true, length: seconds(0.1, 3)},
		FillConnections: {What: "all of max_connections taken by others, and ours ended", Repeats: true, Refuses: true, length: seconds(1, 4)},
		FillDisk:        {What: "every write answered with SQLSTATE 53100, disk full", Repeats: true, Refuses: true, length: seconds(1, 4)},
		BreakDatabase:   {What: "connections to PostgreSQL stall, are reset, or lose their answers", Repeats: true, Refuses: true, length: seconds(1, 4)},
		BreakReceivers:  {What: "connections to receivers stall, are reset, or lose their answers", Repeats: true, Unreached: true, length: seconds(1, 4)},
		JumpClock:       {What: "an API's clock jumps ahead or back, by minutes up to two days", length: seconds(2, 4)},
		Roll:            {What: "SIGTERM to each API and worker in turn, the next when the one before is back", length: seconds(0, 0.5)},

		LoseNamespace: {
			What: "Temporal's namespace deleted, and registered again 150 s later", Repeats: true, Stages: 1, length: seconds(150, 150), short: 20 * time.Second,
		},
		StopTemporal: {What: "the Temporal server stopped (SIGSTOP) for 3 minutes, at the full rate", Stages: 1, length: seconds(180, 180), short: 15 * time.Second},
		CutTemporal: {
			What: "one API of two cut off from Temporal, by silence and by resets", Stages: int(Reset), length: seconds(60, 60), short: 25 * time.Second,
		},
		Freeze: {
			What: "an API, and a worker, that stand still (SIGSTOP), in the middle of a transaction if one is met", Repeats: true, Refuses: true, Unreached: true,
			Stages: freezeStages, length: seconds(60, 60), short: 8 * time.Second,
		},
		LockRows: {
			What: "the row of a topic, of an idempotency key and of a webhook locked by another session", Repeats: true, Refuses: true,
			Stages: lockStages, length: seconds(60, 60), short: 8 * time.Second,
		},
		EndWebhooks: {
			What: "webhooks with a backlog that answer 410, are deleted, are disabled", Stages: endStages, size: [2]int{500_000, 3000}, more: 10 * time.Minute,
		},
		FillMemory: {
			What: "workers with 512 MiB killed, and a backlog of large events when they are back", Repeats: true, Stages: 1, size: [2]int{20_000, 2000}, more: 10 * time.Minute,
		},
		FewConnections: {What: "two connections to PostgreSQL for each process, and all of the strikes above"},
		LeapClock:      {What: "an API's clock is 100 days ahead for a second", Stages: 2, length: seconds(1, 1)},
		AwayTemporal: {
			What: "the Temporal server stopped (SIGSTOP) for a minute, API and worker in one process", Together: true, Stages: 1,
			length: seconds(60, 60), short: 15 * time.Second,
		},
		StallOwner: {
			What:     "one of two processes with API and worker stands still (SIGSTOP) for longer than its lease, with first attempts in flight and waiting",
			Together: true, Repeats: true, Refuses: true, Unreached: true, Stages: 1, length: seconds(30, 30), short: 12 * time.Second,
		},
		InTurn: {What: "one stage of each that can be short, one after the other", Off: "the end-to-end tests' short form", Stages: len(brief())},
	}
}

// brief returns the kinds whose first stage is part of InTurn.
func brief() []Damage {
	list := []Damage{Freeze, LockRows, EndWebhooks}
	if canJumpClocks {
		list = append(list, LeapClock)
	}
	return list
}

// Of returns the traits of a damage. A damage that consists of several kinds may have the effects of any of them.
func Of(d Damage) Traits {
	t := traits()[d]
	if d == All {
		t.What = "all of these at random, several at once"
	}
	if d == All || d == FewConnections || d == InTurn {
		for _, other := range kindsOf(d) {
			o := traits()[other]
			t.Repeats, t.Refuses, t.Unreached = t.Repeats || o.Repeats, t.Refuses || o.Refuses, t.Unreached || o.Unreached
		}
	}
	return t
}

// kindsOf returns the kinds of strikes that a damage consists of.
func kindsOf(d Damage) []Damage {
	switch d { //nolint:exhaustive // every other kind consists of itself
	case None:
		return nil
	case All, FewConnections:
		return Mixed()
	case InTurn:
		return brief()
	}
	return []Damage{d}
}

// Damages returns all kinds, in the order of the report.
func Damages() []Damage {
	return []Damage{
		None, KillAPI, KillWorker, KillBoth, KillTemporal, LoseTemporal, KillBackend, StopPostgres, FillConnections, FillDisk,
		BreakDatabase, BreakReceivers, JumpClock, Roll, All,
		LoseNamespace, StopTemporal, CutTemporal, Freeze, LockRows, EndWebhooks, FillMemory, FewConnections, LeapClock, AwayTemporal, StallOwner, InTurn,
	}
}

// Default returns the kinds that run when none is named.
func Default() []Damage {
	return slices.DeleteFunc(Damages(), func(d Damage) bool { return traits()[d].Off != "" || !Possible(d) })
}

// Staged returns the kinds with stages.
func Staged() []Damage {
	return slices.DeleteFunc(Default(), func(d Damage) bool { return traits()[d].Stages == 0 })
}

// Mixed returns the kinds that All consists of.
func Mixed() []Damage {
	return slices.DeleteFunc(Default(), func(d Damage) bool {
		return d == None || d == All || d == FewConnections || traits()[d].Stages > 0
	})
}

// Possible reports whether the damage is possible on this machine.
func Possible(d Damage) bool { return d != JumpClock && d != LeapClock || canJumpClocks }

// ParseDamages parses names; no names give the default.
func ParseDamages(names []string) ([]Damage, error) {
	if len(names) == 0 {
		return Default(), nil
	}
	var list []Damage
	for _, name := range names {
		d := Damage(name)
		if !slices.Contains(Damages(), d) {
			return nil, fmt.Errorf("damage %q: want one of %s", name, Names(Damages()))
		}
		if !Possible(d) {
			return nil, fmt.Errorf("damage %q: not possible on this machine, only on Linux on amd64", name)
		}
		list = append(list, d)
	}
	return list, nil
}

// Names joins names.
func Names(list []Damage) string {
	names := make([]string, 0, len(list))
	for _, d := range list {
		names = append(names, string(d))
	}
	return strings.Join(names, ", ")
}
