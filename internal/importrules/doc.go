// Package importrules holds the rules of the module's shape and words: which
// package may know which, and how things are spelled. It has tests only. Each
// rule states its reason; change the reason before you change the rule.
package importrules
