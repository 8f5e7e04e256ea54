package storage

import "grapnel/internal/hook"

// statement has the items of one statement.
type statement[T any] struct {
	group        *group[T]
	batch        []*member[T]
	weight, rows int
	// ofTenant has each tenant's rows, if the group knows tenants.
	ofTenant map[hook.TenantID]int
}

// isShared reports whether the items belong to several tenants.
func (s *statement[T]) isShared() bool { return len(s.ofTenant) > 1 }

// isLarge reports whether other tenants must not wait for the statement.
func (s *statement[T]) isLarge() bool { return len(s.ofTenant) == 1 && s.rows > maxTenantRows }

// hasEnough reports whether the statement has as many rows of the item's tenant as a shared statement may have. Items
// of other tenants may fit all the same.
func (s *statement[T]) hasEnough(item T) bool {
	if !s.isShared() {
		return false
	}
	own := s.ofTenant[s.group.tenant(item)]
	rows, _ := s.group.size(item)
	return own > 0 && own+rows > maxTenantRows
}

// fits reports whether the statement has room for an item. An empty one has room for any.
func (s *statement[T]) fits(item T) bool {
	g := s.group
	if len(s.batch) == 0 {
		return true
	}
	rows, _ := g.size(item)
	if g.tenant != nil && (s.isShared() || s.ofTenant[g.tenant(item)] == 0) && (s.isLarge() || s.rows+rows > maxSharedRows) {
		return false
	}
	return s.weight+g.weigh(item) <= g.maxWeight
}

func (s *statement[T]) add(m *member[T]) {
	g := s.group
	rows, _ := g.size(m.item)
	s.weight, s.rows = s.weight+g.weigh(m.item), s.rows+rows
	s.batch = append(s.batch, m)
	if g.tenant == nil {
		return
	}
	if s.ofTenant == nil {
		s.ofTenant = map[hook.TenantID]int{}
	}
	s.ofTenant[g.tenant(m.item)] += rows
}

// resolve gives members their outcome.
func resolve[T any](members []*member[T], err error) {
	for _, m := range members {
		m.done <- err
	}
}
