// Flags that set the fields of an object.

package main

import (
	"reflect"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

// field is a flag of a verb. It sets a field of the object, or a part of the object's
// name, or a value that the verb's check reads.
type field[O any] struct {
	name string
	flag func() cli.Flag // returns a new flag: package cli keeps values in its flags
	read func(in *input[O]) error
	// missing, unless nil, returns the error for a flag that is not given.
	missing func(O) error
}

// required returns the field with a flag that must be given.
func (f field[O]) required(missing func(O) error) field[O] {
	f.missing = missing
	return f
}

// completed returns the field with a completer of its values.
func (f field[O]) completed(words completer) field[O] {
	flag := f.flag
	f.flag = func() cli.Flag { return completed(flag(), words) }
	return f
}

// changes records that the line sets the field that at points to.
func (in *input[O]) changes(at any) {
	o, field := reflect.ValueOf(&in.object).Elem(), reflect.ValueOf(at)
	for i := range o.NumField() {
		if o.Field(i).Addr().Interface() == at {
			name, _, _ := strings.Cut(o.Type().Field(i).Tag.Get("json"), ",")
			in.change[name] = field.Elem().Interface()
			return
		}
	}
	panic("no field of the object")
}

// bound returns a flag that sets the field that at points to.
func bound[O, F any](name string, flag func() cli.Flag, at func(*O) *F, value func(c *cli.Context) (F, error)) field[O] {
	return field[O]{name: name, flag: flag, read: func(in *input[O]) error {
		v, err := value(in.line)
		if err != nil {
			return err
		}
		*at(&in.object) = v
		in.changes(at(&in.object))
		return nil
	}}
}

// stringFlag returns a flag with one value.
func stringFlag[O, F any](name, usage string, at func(*O) *F, parse func(string) (F, error)) field[O] {
	return bound(name, func() cli.Flag { return &cli.StringFlag{Name: name, Usage: usage} }, at,
		func(c *cli.Context) (F, error) { return parse(c.String(name)) })
}

// stringsFlag returns a flag with one or several values.
func stringsFlag[O, F any](name, usage string, at func(*O) *[]F, parse func(string) (F, error)) field[O] {
	return bound(name, func() cli.Flag { return &cli.StringSliceFlag{Name: name, Usage: usage} }, at,
		func(c *cli.Context) ([]F, error) { return each(c.StringSlice(name), parse) })
}

// each parses the values of a flag.
func each[F any](values []string, parse func(string) (F, error)) ([]F, error) {
	var fs []F
	for _, s := range values {
		f, err := parse(s)
		if err != nil {
			return nil, err
		}
		fs = append(fs, f)
	}
	return fs, nil
}

// intFlag returns a flag with a number.
func intFlag[O, F any](name, usage string, at func(*O) *F, check func(int) (F, error)) field[O] {
	return bound(name, func() cli.Flag { return &cli.IntFlag{Name: name, Usage: usage} }, at,
		func(c *cli.Context) (F, error) { return check(c.Int(name)) })
}

// uintFlag returns a flag with a number that is not negative.
func uintFlag[O, F any](name, usage string, at func(*O) *F, check func(uint64) (F, error)) field[O] {
	return bound(name, func() cli.Flag { return &cli.Uint64Flag{Name: name, Usage: usage} }, at,
		func(c *cli.Context) (F, error) { return check(c.Uint64(name)) })
}

// boolFlag returns a flag that is true or false.
func boolFlag[O any](name, usage string, at func(*O) *bool) field[O] {
	return bound(name, func() cli.Flag { return &cli.BoolFlag{Name: name, Usage: usage} }, at,
		func(c *cli.Context) (bool, error) { return c.Bool(name), nil })
}

// as accepts any string; the object's Validate checks it.
func as[F ~string](s string) (F, error) { return F(s), nil }

// anyInt accepts any number; the object's Validate checks it.
func anyInt(n int) (int, error) { return n, nil }

// externalFlag names the external of a NAT object.
func externalFlag[O any](at func(*O) *string) field[O] {
	return stringFlag("external", "`EXTERNAL` that it is by; need not be given if there is only one", at, func(s string) (string, error) {
		return s, intent.ValidateName("external", s)
	}).completed(namesOf(intent.ClassExternal))
}
