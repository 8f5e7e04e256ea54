package canonjson_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/canonjson"
)

// order is the data of an ordinary event, of 300 bytes.
const order = `{"id": "ord_01h455vb4pex5vsknk084sn02q", "status": "paid", "total": 1299.50, "currency": "EUR",` +
	` "customer": {"id": "cus_8412", "email": "zoé@example.com", "vip": false, "note": null},` +
	` "items": [{"sku": "A-1", "quantity": 2, "price": 499.75}, {"sku": "B\t7", "quantity": 1, "price": 300}],` +
	` "tags": ["eu", "b2b"]}`

func BenchmarkCanonicalize(b *testing.B) {
	for _, bench := range []struct {
		name string
		src  string
	}{
		{"300B", order},
		{"10kB", "[" + strings.Repeat(order+",\n", 33) + order + "]"},
		{"10kB_index_keys", indexKeys(800)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			src := []byte(bench.src)
			dst, err := canonjson.Append(nil, src)
			require.NoError(b, err)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = canonjson.Append(dst[:0], src)
			}
		})
	}
}

// indexKeys returns an object of n members whose keys are all array indices in descending order, which is the worst
// case of rearranging.
func indexKeys(n int) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `,"%d":%d`, n-i, i)
	}
	return "{" + b.String()[1:] + "}"
}
