package hook

// mostEdits bounds how many characters a name may differ by from one that it is taken for.
const mostEdits = 5

// Closest is the name that was likely meant by the given one, for "did you mean": the
// first of those that are most like it, if that is near, or "". Near is a third of its
// characters, and no more than five. Case does not matter.
//
// Its cost is bounded by the number of names: of each no more than a band of eleven is
// compared, and that only as long as it may still be the nearest.
func Closest(name string, names []string) string {
	best, within := "", min(mostEdits, len(name)/3)
	for _, n := range names {
		if d, near := distance(name, n, within); near {
			if d == 0 {
				return n
			}
			best, within = n, d-1 // from here on only what is nearer
		}
	}
	return best
}

// distance is Levenshtein's, over bytes without case, if it is at most most; near tells.
func distance(a, b string, most int) (d int, near bool) {
	if most < 0 || max(len(a)-len(b), len(b)-len(a)) > most || len(b) > MaxTypeLength {
		return 0, false
	}
	var row [MaxTypeLength + 1]int
	for j := range row[:min(len(b), most)+1] {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		from, to := max(1, i-most), min(len(b), i+most)
		diagonal, least := row[from-1], most+1
		if from == 1 {
			row[0] = i
			least = i
		} else {
			row[from-1] = most + 1
		}
		if to == i+most { // nothing has been written there yet
			row[to] = most + 1
		}
		for j := from; j <= to; j++ {
			cost := 1
			if lower(a[i-1]) == lower(b[j-1]) {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
			least = min(least, row[j])
		}
		if least > most {
			return 0, false
		}
	}
	return row[len(b)], row[len(b)] <= most
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
