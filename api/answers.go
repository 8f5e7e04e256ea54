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

// What is being answered holds memory, from the read until the last byte has been written.
// So an answer is bounded (mostAnswered), and all large answers of a process together are
// by a budget: an operation that may have one takes as much as the largest needs before it
// reads, gives back what its own does not need as soon as that is known, and the rest when
// it has been written. One tenant's answers have half of the budget at most. Who waits
// holds nothing but its tenant's part, and who has both parts waits for nobody.
const (
	// mostAnswered is how many bytes a list's entries have together; one is always shown.
	mostAnswered = 4 << 20
	// answerFactor is what an answer holds for each of its bytes: as it was read, and as
	// JSON in a buffer that has grown by doubling.
	answerFactor = 4
	// answersPart is the part of the memory that answers may hold.
	answersPart = 8
	// defaultMemory is what it is a part of where the process has no limit.
	defaultMemory = 1 << 30
	// leastAnswer is what an answer holds in any case.
	leastAnswer = 16 << 10
)

// answers is the budget of what is being answered.
type answers struct {
	size          int64
	free          *semaphore.Weighted
	used, waiting atomic.Int64
	mu            sync.Mutex
	tenants       map[hook.TenantID]*tenantAnswers
}

// tenantAnswers is a tenant's part of the budget, kept while somebody uses it.
type tenantAnswers struct {
	free  *semaphore.Weighted
	users int
}

// newAnswers makes a budget of a process with so much memory; 0 is no limit.
func newAnswers(memory int64) *answers {
	if memory <= 0 {
		memory = defaultMemory
	}
	size := max(memory/answersPart, 2*answerFactor*mostAnswered)
	return &answers{size: size, free: semaphore.NewWeighted(size), tenants: map[hook.TenantID]*tenantAnswers{}}
}

// take waits for room for the largest answer until ctx ends.
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

// answering is an answer's part of the budget. It is one request's.
type answering struct {
	all    *answers
	tenant hook.TenantID
	// own is the tenant's part; nil before it is taken.
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

// end gives back the rest, if there is any.
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

// limitAnswer has an operation's answer wait for its part of the budget, which is held until
// the answer has been written. An operation that sends takes it when that is over.
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

// reserve waits for the part of the answer to ctx's request, if it has not got it yet.
func reserve(ctx context.Context) error {
	if part, ok := ctx.Value(answeringKey{}).(*answering); ok && part.own == nil {
		return part.take(ctx)
	}
	return nil
}

// answered says how many bytes the answer to ctx's request has, about.
func answered(ctx context.Context, bytes int) {
	if part, ok := ctx.Value(answeringKey{}).(*answering); ok {
		part.keep(bytes)
	}
}

// fit are as many of a list as an answer may have, one at least, and their size in bytes;
// more says that there are others.
func fit[T any](list []T, size func(*T) int) (kept []T, bytes int, more bool) {
	for i := range list {
		n := size(&list[i])
		if i > 0 && bytes+n > mostAnswered {
			return list[:i], bytes, true
		}
		bytes += n
	}
	return list, bytes, false
}

// entryBytes is what an entry of a list has beside its texts: names, times, numbers.
const entryBytes = 1 << 10

// webhookBytes is how large a webhook is in an answer, about.
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

func replayBytes(r *hook.Replay) int { return entryBytes + textsBytes(r.EventTypes) }

func tenantBytes(t *hook.Tenant) int { return entryBytes + len(t.Name) }

func keyBytes(k *hook.APIKey) int { return entryBytes + len(k.Name) + textsBytes(k.Topics) }

func textsBytes(list []string) (n int) {
	for _, text := range list {
		n += len(text) + 3
	}
	return n
}

// attemptsBytes is how large a log of attempts is in an answer, about: what is no text is
// in base64.
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

// AnswerMemory is how much what is being answered holds in memory of its budget, in bytes,
// and how many answers wait for a part of it.
func (a *API) AnswerMemory() (used, size, waiting int64) {
	return a.answers.used.Load(), a.answers.size, a.answers.waiting.Load()
}
