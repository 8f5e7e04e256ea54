// Package turns has a queue in which owners take turns: one with many items does not delay the others. Tenants share
// the accept, the first attempts and the starts of workflows by it.
package turns

// Queue is a queue whose owners take turns, one item each. An owner's own items stay in their order. The zero value is
// empty. A Queue is not safe for concurrent use.
type Queue[K comparable, V any] struct {
	// owners are those with items, the next in turn first.
	owners []K
	items  map[K][]V
	length int
}

// Len returns the number of items.
func (q *Queue[K, V]) Len() int { return q.length }

// Owners returns the number of owners with items.
func (q *Queue[K, V]) Owners() int { return len(q.owners) }

// HasOther reports whether an owner other than that one has items.
func (q *Queue[K, V]) HasOther(owner K) bool {
	return len(q.owners) > 1 || len(q.owners) == 1 && q.owners[0] != owner
}

// Push adds an owner's item behind its others. An owner that had none comes in turn after all others.
func (q *Queue[K, V]) Push(owner K, item V) {
	if q.items == nil {
		q.items = map[K][]V{}
	}
	if len(q.items[owner]) == 0 {
		q.owners = append(q.owners, owner)
	}
	q.items[owner] = append(q.items[owner], item)
	q.length++
}

// Peek returns the item that Pop would return; false if there is none.
func (q *Queue[K, V]) Peek() (item V, ok bool) {
	if q.length == 0 {
		return item, false
	}
	return q.items[q.owners[0]][0], true
}

// Pop takes the next item of the owner whose turn it is; false if there is none.
func (q *Queue[K, V]) Pop() (item V, ok bool) {
	if q.length == 0 {
		return item, false
	}
	owner := q.owners[0]
	q.owners = q.owners[1:]
	list := q.items[owner]
	item, list[0] = list[0], item // the queue keeps no reference
	if q.length--; len(list) == 1 {
		delete(q.items, owner)
		return item, true
	}
	q.items[owner] = list[1:]
	q.owners = append(q.owners, owner)
	return item, true
}
