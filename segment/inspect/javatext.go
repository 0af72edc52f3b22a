package inspect

// javaText decodes UTF-8 as Java's String does, so that a dump agrees with Kafka's tool on bytes that are no UTF-8 too: how many
// bytes of a malformed sequence one replacement character stands for is Java's own.
func javaText(b []byte) string {
	out := make([]rune, 0, len(b))
	for len(b) > 0 {
		r, n := javaRune(b)
		out = append(out, r)
		b = b[n:]
	}
	return string(out)
}

const replacement = '\uFFFD'

func javaRune(b []byte) (rune, int) {
	switch b1 := b[0]; {
	case b1 < 0x80:
		return rune(b1), 1
	case b1>>5 == 0x6 && b1&0x1e != 0:
		return javaRune2(b)
	case b1>>4 == 0xe:
		return javaRune3(b)
	case b1>>3 == 0x1e:
		return javaRune4(b)
	}
	return replacement, 1
}

func continues(b byte) bool { return b&0xc0 == 0x80 }

func javaRune2(b []byte) (rune, int) {
	if len(b) < 2 || !continues(b[1]) {
		return replacement, 1
	}
	return rune(b[0]&0x1f)<<6 | rune(b[1]&0x3f), 2
}

func javaRune3(b []byte) (rune, int) {
	if len(b) >= 2 && (b[0] == 0xe0 && b[1]&0xe0 == 0x80 || !continues(b[1])) {
		return replacement, 1
	}
	if len(b) < 3 {
		return replacement, len(b)
	}
	if !continues(b[2]) {
		return replacement, 2
	}
	r := rune(b[0]&0xf)<<12 | rune(b[1]&0x3f)<<6 | rune(b[2]&0x3f)
	if r >= 0xd800 && r <= 0xdfff { // a surrogate
		r = replacement
	}
	return r, 3
}

func javaRune4(b []byte) (rune, int) {
	if b[0] > 0xf4 || len(b) >= 2 && (b[0] == 0xf0 && b[1] < 0x90 || b[0] == 0xf4 && b[1]&0xf0 != 0x80 || !continues(b[1])) {
		return replacement, 1
	}
	if len(b) >= 3 && !continues(b[2]) {
		return replacement, 2
	}
	if len(b) < 4 {
		return replacement, len(b)
	}
	if !continues(b[3]) {
		return replacement, 3
	}
	return rune(b[0]&7)<<18 | rune(b[1]&0x3f)<<12 | rune(b[2]&0x3f)<<6 | rune(b[3]&0x3f), 4
}
