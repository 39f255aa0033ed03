package catalog

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Action is what applying a file does to one thing.
type Action string

// The actions. A file never deletes: what it does not name stays.
const (
	Created   Action = "created"
	Changed   Action = "changed"
	Unchanged Action = "unchanged"
)

// Change is what applying a file does to one category, product or bundle.
type Change struct {
	Kind   string        `json:"kind"` // "category", "product" or "bundle"
	Code   string        `json:"code"`
	Action Action        `json:"action"`
	Fields []FieldChange `json:"fields,omitempty"` // if changed
}

// FieldChange is one value before and after, as people read it.
type FieldChange struct {
	Key string `json:"key"` // as in the catalog file, such as "terms.seats"
	Old string `json:"old"`
	New string `json:"new"`
}

// Diff tells what applying next to old does, in the order of next.
func Diff(old, next Catalog) []Change {
	changes := []Change{}
	for _, c := range next.Categories {
		before, known := old.Category(c.Code)
		changes = append(changes, change("category", c.Code, known, before, c))
	}
	for _, p := range next.Products {
		before, known := old.Product(p.Code)
		changes = append(changes, change("product", p.Code, known, before, p))
	}
	for _, b := range next.Bundles {
		before, known := old.Bundle(b.Code)
		changes = append(changes, change("bundle", b.Code, known, before, b))
	}
	return changes
}

func change(kind, code string, known bool, old, next any) Change {
	c := Change{Kind: kind, Code: code, Action: Created}
	if !known {
		return c
	}
	before, after := leaves(reflect.ValueOf(old), ""), leaves(reflect.ValueOf(next), "")
	for i, leaf := range after {
		if before[i].text != leaf.text {
			c.Fields = append(c.Fields, FieldChange{leaf.key, before[i].text, leaf.text})
		}
	}
	c.Action = Unchanged
	if len(c.Fields) > 0 {
		c.Action = Changed
	}
	return c
}

// String is the change for people: a line, and a line for each changed value.
func (c Change) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s %s: %s", c.Kind, c.Code, c.Action)
	for _, f := range c.Fields {
		fmt.Fprintf(&s, "\n  %s: %s → %s", f.Key, f.Old, f.New)
	}
	return s.String()
}

type leaf struct{ key, text string }

// leaves are the values inside a struct, named by their JSON names; two structs
// of one type have the same leaves in the same order.
func leaves(v reflect.Value, prefix string) []leaf {
	var found []leaf
	for i := range v.NumField() {
		key, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		field := v.Field(i)
		if field.Kind() == reflect.Struct {
			found = append(found, leaves(field, prefix+key+".")...)
			continue
		}
		found = append(found, leaf{prefix + key, shownValue(field, options != "")})
	}
	return found
}

// shownValue writes a value as the catalog file does; optional ones that are not
// set are "none".
func shownValue(v reflect.Value, optional bool) string {
	if optional && (v.IsZero() || v.Kind() == reflect.Map && v.Len() == 0) {
		return "none"
	}
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		if text, err := t.MarshalText(); err == nil {
			return string(text)
		}
	}
	if v.Kind() == reflect.Slice {
		return "[" + strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ", "), "[]") + "]"
	}
	if v.Kind() == reflect.Map {
		var entries []string
		for _, key := range v.MapKeys() {
			entries = append(entries, fmt.Sprintf("%s: %s", key, v.MapIndex(key)))
		}
		slices.Sort(entries)
		return "{" + strings.Join(entries, ", ") + "}"
	}
	if v.Type() == reflect.TypeFor[string]() {
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}
