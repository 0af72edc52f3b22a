package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quirelog/quire/broker/config"
)

// flagError says which flag or value is wrong, in words rather than in those of the parser.
func flagError(cmd *cobra.Command, err error) error {
	hint := cmd.CommandPath() + " --help"
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedShortnames() == "" {
		if near := nearestFlag(cmd, unknown.GetSpecifiedName()); near != "" {
			hint = fmt.Sprintf("did you mean --%s? all flags: %s", near, hint)
		}
		return usageError(hint, "%s has no flag --%s", cmd.CommandPath(), unknown.GetSpecifiedName())
	}
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usageError(hint, "%s: --%s %q: want %s", cmd.CommandPath(), bad.GetFlag().Name, bad.GetValue(),
			wanted(bad.GetFlag().Value.Type()))
	}
	return usageError(hint, "%s: %w", cmd.CommandPath(), err)
}

// wanted says what a flag of pflag's type takes.
func wanted(typ string) string {
	switch typ {
	case "duration":
		return "a time with its unit, such as 30s"
	case "int32Slice":
		return "whole numbers, separated by commas"
	case "bool":
		return "true or false"
	}
	return "a whole number"
}

// nearestFlag is the flag of cmd that name was probably meant to be; "": none is near.
func nearestFlag(cmd *cobra.Command, name string) string {
	var names []string
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	return nearest(name, names)
}

// nearest is the one of names that is at most two edits away from word, or that word is the beginning of; "": there is none.
func nearest(word string, names []string) string {
	const mostEdits = 2
	best, least := "", mostEdits+1
	for _, name := range names {
		distance := config.EditDistance(word, name)
		if len(word) > mostEdits && strings.HasPrefix(name, word) {
			distance = 0
		}
		if distance < least && distance < len(word) {
			best, least = name, distance
		}
	}
	return best
}

// usageText is usageTemplate for a terminal of width columns (0: not a terminal).
func usageText(width int) string {
	const least, most = 60, 120
	if width == 0 {
		width = most
	}
	return strings.ReplaceAll(usageTemplate, "helpWidth", strconv.Itoa(min(max(width, least), most)))
}
