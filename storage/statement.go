package storage

// statement has the items of one statement.
type statement[T any] struct {
	group        *group[T]
	batch        []*member[T]
	weight, rows int
	// shared says that the items belong to several tenants.
	shared bool
}

// isLarge reports whether other tenants must not wait for the statement.
func (s *statement[T]) isLarge() bool {
	return s.group.tenant != nil && !s.shared && s.rows > maxSharedRows
}

// fits reports whether the statement has room for an item. An empty one has room for any.
func (s *statement[T]) fits(item T) bool {
	g := s.group
	if len(s.batch) == 0 {
		return true
	}
	rows, _ := g.size(item)
	if g.tenant != nil && s.rows+rows > maxSharedRows && (s.shared || g.tenant(item) != g.tenant(s.batch[0].item)) {
		return false
	}
	return s.weight+g.weigh(item) <= g.maxWeight
}

func (s *statement[T]) add(m *member[T]) {
	g := s.group
	rows, _ := g.size(m.item)
	s.weight, s.rows = s.weight+g.weigh(m.item), s.rows+rows
	s.batch = append(s.batch, m)
	s.shared = s.shared || g.tenant != nil && g.tenant(m.item) != g.tenant(s.batch[0].item)
}
