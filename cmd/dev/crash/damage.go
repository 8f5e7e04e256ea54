// Package crash does damage to a running Grapnel while events are published at a
// steady rate, and then accounts for every one of them: a publisher that keeps
// every answer, a receiver that keeps every request, and an oracle that holds both
// against what the API and PostgreSQL say. What is damaged and when follows from a
// seed. The package knows the product by its HTTP API and its tables only; killing
// processes is left to the Stack that it is given.
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
	// All is all the others at random, several at once.
	All Damage = "all"
)

// Traits are what a damage may and may not bring about.
type Traits struct {
	// What says what is done.
	What string
	// Repeats says that a request may be made again because nobody knows what came
	// of it: at-least-once delivery. Where it is false, not one may.
	Repeats bool
	// Refuses says that a publish may go without an answer, or with a 503.
	Refuses bool
	// Unreached says that an attempt may be recorded that never reached the
	// receiver: the network is damaged on its way.
	Unreached bool
	// Off says why it is not among those that are done by default.
	Off string
	// length is how long the damage lasts, at least and at most, beside the time that
	// coming back takes.
	length [2]time.Duration
}

// traits is the table of damages.
func traits() map[Damage]Traits {
	s := func(least, most float64) [2]time.Duration {
		return [2]time.Duration{time.Duration(least * float64(time.Second)), time.Duration(most * float64(time.Second))}
	}
	return map[Damage]Traits{
		None:            {What: "nothing is damaged"},
		KillAPI:         {What: "kill -9 of one API of two, or of both at once", Refuses: true, length: s(0.1, 2)},
		KillWorker:      {What: "kill -9 of one worker of two, or of both at once", Repeats: true, length: s(0.1, 2)},
		KillBoth:        {What: "kill -9 of all APIs and workers at once", Repeats: true, Refuses: true, length: s(0.1, 2)},
		KillTemporal:    {What: "kill -9 of the Temporal server", length: s(0.1, 4)},
		LoseTemporal:    {What: "Temporal's databases dropped and made anew", Repeats: true, length: s(0, 1)},
		KillBackend:     {What: "kill -9 of a PostgreSQL backend: all sessions end, crash recovery", Repeats: true, Refuses: true},
		StopPostgres:    {What: "PostgreSQL's immediate shutdown, and its start with crash recovery", Repeats: true, Refuses: true, length: s(0.1, 3)},
		FillConnections: {What: "all of max_connections taken by others, and ours ended", Repeats: true, Refuses: true, length: s(1, 4)},
		FillDisk:        {What: "every write answered with SQLSTATE 53100, disk full", Repeats: true, Refuses: true, length: s(1, 4)},
		BreakDatabase:   {What: "connections to PostgreSQL stall, are reset, or lose their answers", Repeats: true, Refuses: true, length: s(1, 4)},
		BreakReceivers:  {What: "connections to receivers stall, are reset, or lose their answers", Repeats: true, Unreached: true, length: s(1, 4)},
		JumpClock:       {What: "an API's clock jumps ahead or back, by minutes up to two days", length: s(2, 4)},
		Roll:            {What: "SIGTERM to each API and worker in turn, the next when the one before is back", length: s(0, 0.5)},
	}
}

// Of is what a damage may bring about. Of All it is what any of the others may.
func Of(d Damage) Traits {
	if d != All {
		return traits()[d]
	}
	all := Traits{What: "all of these at random, several at once"}
	for _, other := range Mixed() {
		t := traits()[other]
		all.Repeats, all.Refuses, all.Unreached = all.Repeats || t.Repeats, all.Refuses || t.Refuses, all.Unreached || t.Unreached
	}
	return all
}

// Damages are all kinds, in the order of the report.
func Damages() []Damage {
	return []Damage{
		None, KillAPI, KillWorker, KillBoth, KillTemporal, LoseTemporal, KillBackend, StopPostgres, FillConnections, FillDisk,
		BreakDatabase, BreakReceivers, JumpClock, Roll, All,
	}
}

// Default are the kinds that are done when none is named.
func Default() []Damage {
	return slices.DeleteFunc(Damages(), func(d Damage) bool { return d != All && Of(d).Off != "" || !Possible(d) })
}

// Mixed are the kinds that All is made of.
func Mixed() []Damage {
	return slices.DeleteFunc(Default(), func(d Damage) bool { return d == None || d == All })
}

// Possible tells whether this machine allows the damage.
func Possible(d Damage) bool { return d != JumpClock || canJumpClocks }

// ParseDamages reads names; none gives the default.
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
