package hook

// maxEdits bounds the number of characters by which a suggested name may differ.
const maxEdits = 5

// Closest returns the name that a wrong name probably stands for, to suggest "did you mean". It is the nearest of the
// names, and the first of several; "" if none is near. A name is near if it differs in at most a third of the
// characters, and in no more than five. Case does not matter.
//
// The cost depends on the number of names only: of each name a band of eleven characters is compared, and only as long
// as it may still be the nearest.
func Closest(name string, names []string) string {
	best, within := "", min(maxEdits, len(name)/3)
	for _, n := range names {
		if d, near := distance(name, n, within); near {
			if d == 0 {
				return n
			}
			best, within = n, d-1 // only a nearer name can replace it
		}
	}
	return best
}

// distance returns the Levenshtein distance over bytes without case. near is false if it is greater than most.
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
		if to == i+most { // the row has no value there yet
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
