package config

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

const templateHead = `# Quire's configuration. Every key is shown at its default.
# A flag of quire serve wins over the environment, which wins over this file.
`

// WriteTemplate prints a commented TOML file with every key at its default.
func WriteTemplate(w io.Writer) error {
	var b strings.Builder
	b.WriteString(templateHead)
	for i := range keys {
		r := &keys[i]
		value := r.Default
		if r.isText {
			value = fmt.Sprintf("%q", value)
		}
		fmt.Fprintf(&b, "\n%s# --%s, %s\n#%s = %s\n", comment(r.Doc), r.Flag, r.Env, spellName(r.Name), value)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

const commentColumns = 110

// comment is text in lines that begin with a number sign.
func comment(text string) string {
	var b strings.Builder
	at := 0
	for word := range strings.FieldsSeq(text) {
		if at == 0 || at+1+len(word) > commentColumns {
			if at > 0 {
				b.WriteByte('\n')
			}
			b.WriteByte('#')
			at = 1
		}
		b.WriteString(" " + word)
		at += 1 + len(word)
	}
	return b.String() + "\n"
}

// spellName is how a file spells a key: in quotes where it begins with another key, which in TOML cannot be a value and a
// table at once.
func spellName(name string) string {
	for i := range keys {
		if strings.HasPrefix(name, keys[i].Name+".") {
			return strconv.Quote(name)
		}
	}
	return name
}
