package config

import (
	"fmt"
	"io"
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
		fmt.Fprintf(&b, "\n# %s\n# --%s, %s\n#%s = %s\n", r.Doc, r.Flag, r.Env, r.Name, value)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
