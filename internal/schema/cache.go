package schema

import (
	"crypto/sha256"
	"sync"
)

// Bounds of what a Cache keeps.
const (
	mostCached      = 1000
	mostCachedBytes = 4 << 20
)

// Cache keeps compiled schemas by the hashes of their texts: what a hash stands for never
// changes, so that nothing in it is stale. What is too much drops any of them. The zero
// value is ready; it is safe for concurrent use.
type Cache struct {
	mu      sync.RWMutex
	schemas map[[sha256.Size]byte]*Schema
	bytes   int
	// compiling lets one schema at a time be compiled: many may ask for the same.
	compiling sync.Mutex
}

// Find is the schema with the hash; nil if it is not at hand.
func (c *Cache) Find(hash [sha256.Size]byte) *Schema {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.schemas[hash]
}

// Compile is the function of that name, but for a schema that is at hand.
func (c *Cache) Compile(text []byte) (*Schema, error) {
	hash := sha256.Sum256(text)
	if s := c.Find(hash); s != nil {
		return s, nil
	}
	c.compiling.Lock()
	defer c.compiling.Unlock()
	if s := c.Find(hash); s != nil {
		return s, nil
	}
	s, err := Compile(text)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.schemas == nil {
		c.schemas = map[[sha256.Size]byte]*Schema{}
	}
	for other, old := range c.schemas { // any of them
		if len(c.schemas) < mostCached && c.bytes+len(text) <= mostCachedBytes {
			break
		}
		c.bytes -= len(old.text)
		delete(c.schemas, other)
	}
	c.schemas[hash] = s
	c.bytes += len(text)
	return s, nil
}
