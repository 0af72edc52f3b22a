package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

var outputFormats = []string{"table", "json", "jsonl", "yaml"}

// checkOutput runs before a command does anything: an unknown format must not be found out after a topic was deleted.
func (c *cli) checkOutput(*cobra.Command, []string) error {
	if !slices.Contains(outputFormats, c.format) {
		return usageError("", "unknown output format %q: it is one of %s", c.format, strings.Join(outputFormats, ", "))
	}
	return nil
}

// answer prints data as -o says, or calls human for a table. data is a struct or a slice of structs; jsonl prints one line for
// each element.
func (c *cli) answer(data any, human func(w io.Writer)) error {
	var err error
	switch c.format {
	case "json":
		err = writeJSON(c.out, data, "  ")
	case "jsonl":
		err = writeJSONLines(c.out, data)
	case "yaml":
		err = writeYAML(c.out, data)
	default:
		w := &failingWriter{w: c.out}
		human(w)
		err = w.err
	}
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// failingWriter keeps the first error of what was written to it, and writes nothing after it.
type failingWriter struct {
	w   io.Writer
	err error
}

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.err == nil {
		_, f.err = f.w.Write(p)
	}
	return len(p), f.err
}

func writeJSON(w io.Writer, data any, indent string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(data)
}

func writeJSONLines(w io.Writer, data any) error {
	var b bytes.Buffer
	if err := writeJSON(&b, data, ""); err != nil {
		return err
	}
	var items []json.RawMessage
	if json.Unmarshal(b.Bytes(), &items) != nil { // not a list
		return writeJSON(w, data, "")
	}
	for _, it := range items {
		if err := writeJSON(w, it, ""); err != nil {
			return err
		}
	}
	return nil
}

// writeYAML goes through JSON, which is YAML: the names and the order of fields are then the same in both.
func writeYAML(w io.Writer, data any) error {
	var b bytes.Buffer
	if err := writeJSON(&b, data, ""); err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b.Bytes(), &doc); err != nil {
		return err
	}
	blockStyle(&doc)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return err
	}
	return e.Close()
}

// blockStyle drops the flow style of JSON. Quoted strings stay quoted: an unquoted "1" would be a number.
func blockStyle(n *yaml.Node) {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		n.Style = 0
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			child.Style = 0
		}
		blockStyle(child)
	}
}

// table is columns of text. A column whose title ends in ">" is aligned to the right.
type table struct {
	titles []string
	rows   [][]string
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	t.rows = append(t.rows, row)
}

// write prints the table; where it is wider than width (0: any), its widest columns give way.
func (t *table) write(w io.Writer, width int) {
	titles := make([]string, len(t.titles))
	widths := make([]int, len(t.titles))
	for i, title := range t.titles {
		titles[i] = strings.TrimSuffix(title, ">")
		widths[i] = utf8.RuneCountInString(titles[i])
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	fit(widths, width)
	for _, row := range append([][]string{titles}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			cell = clip(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if strings.HasSuffix(t.titles[i], ">") {
				cell = pad + cell
			} else {
				cell += pad
			}
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// fit narrows the widest columns until all of them, two spaces apart, are within width. None gets narrower than 8.
func fit(widths []int, width int) {
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for width > 0 && total > width {
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= 8 {
			return
		}
		widths[widest]--
		total--
	}
}

func clip(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// plural is "1 topic", "2 topics".
func plural[N int | int32 | int64 | int16](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
