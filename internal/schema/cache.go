package schema

import (
	"crypto/sha256"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Bounds of a Cache.
const (
	maxCached      = 1000
	maxCachedBytes = 4 << 20 // of the schemas' texts
)

// Cache holds compiled schemas by the hashes of their texts. The text of a hash never changes, so no entry is ever
// outdated, and none expires. When the cache is full, the schema that was used least recently makes room. The zero
// value is ready for use. A Cache is safe for concurrent use.
type Cache struct {
	mu      sync.Mutex
	schemas *simplelru.LRU[[sha256.Size]byte, *Schema] // nil before the first schema
	bytes   int
	// compiling serializes compilations, because many requests may ask for the same schema at once.
	compiling sync.Mutex
}

// Find returns the schema with the hash, or nil if the cache does not have it.
func (c *Cache) Find(hash [sha256.Size]byte) *Schema {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.schemas == nil {
		return nil
	}
	s, _ := c.schemas.Get(hash)
	return s
}

// Compile returns the schema of the text from the cache, or compiles it as the function Compile does and adds it.
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
	return s, c.add(hash, s)
}

func (c *Cache) add(hash [sha256.Size]byte, s *Schema) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.schemas == nil {
		c.schemas, err = simplelru.NewLRU(maxCached, func(_ [sha256.Size]byte, evicted *Schema) { c.bytes -= len(evicted.text) })
		if err != nil {
			return err
		}
	}
	for c.schemas.Len() > 0 && c.bytes+len(s.text) > maxCachedBytes {
		c.schemas.RemoveOldest()
	}
	c.schemas.Add(hash, s)
	c.bytes += len(s.text)
	return nil
}
