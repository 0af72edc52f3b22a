package config

import (
	"iter"
	"maps"
)

// nearest finds the key whose name, as spelled by of, takes the fewest edits to become name.
func nearest(name string, of func(*row) string) (best *row, distance int) {
	for i := range keys {
		d := EditDistance(name, of(&keys[i]))
		if best == nil || d < distance {
			best, distance = &keys[i], d
		}
	}
	return best, distance
}

// EditDistance is Levenshtein's between a and b: insertions, deletions and replacements of bytes.
func EditDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
