package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/semaphore"

	"grapnel/internal/hook"
)

// An answer holds memory from the read of its data until its last byte has been written. So each answer is bounded
// (mostAnswered), and all large answers of a process together are bounded by a budget. An operation that may have a
// large answer reserves the room of the largest one before it reads anything. It gives back what its own answer does
// not need as soon as it knows that size, and the rest when the answer has been written. One tenant gets at most half
// of the budget. A request first reserves from its tenant's half and then from the budget, so a waiting request holds
// nothing but room of its own tenant, and there is no deadlock.
const (
	// mostAnswered bounds the entries of a list in one answer, in bytes. One entry is always shown.
	mostAnswered = 4 << 20
	// answerFactor is how many bytes of memory an answer takes for each of its own: the data as read, and the JSON in a
	// buffer that grows by doubling.
	answerFactor = 4
	// answersPart is the divisor of the process's memory: answers may take an eighth of it.
	answersPart = 8
	// defaultMemory is the memory to divide if the process has no limit.
	defaultMemory = 1 << 30
	// leastAnswer is the least room that an answer reserves.
	leastAnswer = 16 << 10
)

// answers is the memory budget of the answers of a process.
type answers struct {
	size          int64
	free          *semaphore.Weighted
	used, waiting atomic.Int64
	mu            sync.Mutex
	tenants       map[hook.TenantID]*tenantAnswers
}

// tenantAnswers is a tenant's half of the budget. It exists while a request of the tenant uses it.
type tenantAnswers struct {
	free  *semaphore.Weighted
	users int
}

// newAnswers returns the budget of a process with a memory limit in bytes; 0 is no limit.
func newAnswers(memory int64) *answers {
	if memory <= 0 {
		memory = defaultMemory
	}
	size := max(memory/answersPart, 2*answerFactor*mostAnswered)
	return &answers{size: size, free: semaphore.NewWeighted(size), tenants: map[hook.TenantID]*tenantAnswers{}}
}

// take reserves room for the largest answer. It waits for it until ctx ends.
func (a *answers) take(ctx context.Context, tenant hook.TenantID) (*answering, error) {
	part := &answering{all: a, tenant: tenant}
	return part, part.take(ctx)
}

func (a *answers) enter(tenant hook.TenantID) *tenantAnswers {
	a.mu.Lock()
	defer a.mu.Unlock()
	own := a.tenants[tenant]
	if own == nil {
		own = &tenantAnswers{free: semaphore.NewWeighted(a.size / 2)}
		a.tenants[tenant] = own
	}
	own.users++
	return own
}

func (a *answers) leave(tenant hook.TenantID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	own := a.tenants[tenant]
	if own.users--; own.users == 0 {
		delete(a.tenants, tenant)
	}
}

// answering is the share of one answer in the budget. A single request uses it.
type answering struct {
	all    *answers
	tenant hook.TenantID
	// own is the tenant's half; nil before the share is taken.
	own  *tenantAnswers
	held int64
}

func (p *answering) take(ctx context.Context) error {
	const n = answerFactor * mostAnswered
	a := p.all
	a.waiting.Add(1)
	defer a.waiting.Add(-1)
	own := a.enter(p.tenant)
	if err := own.free.Acquire(ctx, n); err != nil {
		a.leave(p.tenant)
		return tooManyAnswers(err)
	}
	if err := a.free.Acquire(ctx, n); err != nil {
		own.free.Release(n)
		a.leave(p.tenant)
		return tooManyAnswers(err)
	}
	a.used.Add(n)
	p.own, p.held = own, n
	return nil
}

func tooManyAnswers(err error) error {
	return &hook.Error{
		Kind: hook.KindUnavailable, Message: "too many large answers are being given at this moment", RetryAfter: time.Second, Err: err,
	}
}

// keep gives back what an answer of so many bytes does not need.
func (p *answering) keep(bytes int) {
	p.release(p.held - min(p.held, int64(bytes)*answerFactor+leastAnswer))
}

// end gives back the rest of the share.
func (p *answering) end() {
	if p.own != nil {
		p.release(p.held)
		p.all.leave(p.tenant)
		p.own = nil
	}
}

func (p *answering) release(n int64) {
	if n == 0 {
		return
	}
	p.held -= n
	p.all.used.Add(-n)
	p.own.free.Release(n)
	p.all.free.Release(n)
}

type answeringKey struct{}

// limitAnswer returns a middleware that reserves the share of an operation's answer and holds it until the answer has
// been written. Operations that send a request to a receiver reserve it themselves, after sending (see reserve).
func (a *API) limitAnswer(sends bool) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		part := &answering{all: a.answers, tenant: tenant(ctx.Context())}
		defer part.end()
		if !sends {
			waiting, cancel := context.WithTimeout(ctx.Context(), a.Config.Timeout)
			err := part.take(waiting)
			cancel()
			if err != nil {
				a.refuse(ctx, err)
				return
			}
		}
		next(huma.WithValue(ctx, answeringKey{}, part))
	}
}

// reserve takes the share of the answer to the request of ctx, unless it has been taken already.
func reserve(ctx context.Context) error {
	if part, ok := ctx.Value(answeringKey{}).(*answering); ok && part.own == nil {
		return part.take(ctx)
	}
	return nil
}

// answered states the size in bytes, about, of the answer to the request of ctx, and gives back the rest of its share.
func answered(ctx context.Context, bytes int) {
	if part, ok := ctx.Value(answeringKey{}).(*answering); ok {
		part.keep(bytes)
	}
}

// fit cuts a list to as many entries as one answer may hold, at least one. It also returns their size in bytes, and
// whether it left any out.
func fit[T any](list []T, size func(*T) int) (fitting []T, bytes int, cut bool) {
	for i := range list {
		n := size(&list[i])
		if i > 0 && bytes+n > mostAnswered {
			return list[:i], bytes, true
		}
		bytes += n
	}
	return list, bytes, false
}

// entryBytes is the size of an entry besides its texts: the names of members, times and numbers.
const entryBytes = 1 << 10

// webhookBytes returns the size of a webhook in an answer, about.
func webhookBytes(w *hook.Webhook) int {
	n := entryBytes + len(w.URL) + len(w.Description) + len(w.Name) + len(w.Cache) + textsBytes(w.Events)
	for name := range w.Headers {
		n += len(name) + 8
	}
	return n
}

func eventBytes(e *hook.Event) int { return entryBytes + len(e.Data) + len(e.Type) }

func eventTypeBytes(t *hook.EventType) int {
	return entryBytes/4 + len(t.Name) + len(t.Description) + len(t.Schema) + len(t.Example)
}

func replayBytes(r *hook.Replay) int {
	const idBytes = 34 // with quotes and comma
	return entryBytes + textsBytes(r.EventTypes) + idBytes*(len(r.WebhookIDs)+len(r.DeliveryIDs))
}

func tenantBytes(t *hook.Tenant) int {
	n := entryBytes + len(t.Name) + len(t.ExternalID)
	for key, value := range t.Metadata {
		n += len(key) + len(value) + 8
	}
	return n
}

func keyBytes(k *hook.APIKey) int { return entryBytes + len(k.Name) + textsBytes(k.Topics) }

func textsBytes(list []string) (n int) {
	for _, text := range list {
		n += len(text) + 3
	}
	return n
}

// attemptsBytes returns the size of a log of attempts in an answer, about. Bodies may be in base64.
func attemptsBytes(list []hook.Attempt) (n int) {
	for i := range list {
		n += entryBytes + len(list[i].URL) + 2*len(list[i].ResponseBody)
		for _, headers := range []map[string][]string{list[i].RequestHeaders, list[i].ResponseHeaders} {
			for name, values := range headers {
				n += len(name)
				for _, v := range values {
					n += len(v) + 8
				}
			}
		}
	}
	return n
}

// AnswerMemory returns how many bytes of the budget are in use, the size of the budget in bytes, and how many answers
// wait for a share.
func (a *API) AnswerMemory() (used, size, waiting int64) {
	return a.answers.used.Load(), a.answers.size, a.answers.waiting.Load()
}
