// Strict decoding of requests: a misspelt field or parameter is an error, because
// ignoring it would silently leave unchanged what it was to change.

package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// maxBody is the largest request body in bytes. The largest legitimate one, a network with
// hundreds of subnets, has some ten thousand.
const maxBody = 1 << 20

// decode reads exactly one JSON value of v's type from a body of at most maxBody bytes. v
// is a pointer to a struct.
func decode(body io.Reader, v any) error {
	b, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return intent.Invalidf("the request's body could not be read: %w", err)
	}
	if len(b) > maxBody {
		return &statusError{http.StatusRequestEntityTooLarge,
			intent.Invalidf("the request's body has more than %d bytes", maxBody).WithHint("send one object per request")}
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return bodyError(err, v)
	}
	if _, err := d.Token(); err != io.EOF {
		return intent.Invalidf("the request's body goes on after its JSON value, at byte %d", d.InputOffset()).
			WithHint("send one object per request")
	}
	return nil
}

// bodyError rewords an error of encoding/json for the author of the body.
func bodyError(err error, v any) error {
	var (
		told   *intent.Error
		typ    *json.UnmarshalTypeError
		syntax *json.SyntaxError
	)
	switch {
	case errors.As(err, &told):
		return told
	case err == io.EOF:
		return intent.Invalidf("the request has no body").WithHint("send a JSON object with %s", fields(v))
	case errors.As(err, &typ) && typ.Field == "":
		return intent.Invalidf("the request's body is a JSON %s", typ.Value).WithHint("send a JSON object with %s", fields(v))
	case errors.As(err, &typ):
		return intent.Invalidf("field %q: a JSON %s does not fit", typ.Field, typ.Value).WithHint("it must be %s", jsonType(typ.Type))
	case errors.As(err, &syntax):
		return intent.Invalidf("the request's body is not JSON: %v, at byte %d", err, syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return intent.Invalidf("the request's body is cut short")
	}
	what := strings.TrimPrefix(err.Error(), "json: ")
	if strings.HasPrefix(what, "unknown field") {
		return intent.Invalidf("%s", what).WithHint("the fields are %s", fields(v))
	}
	return intent.Invalidf("%s", what)
}

// fields lists the JSON names of the fields of the struct that v points to.
func fields(v any) string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v).Elem()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// jsonType names the JSON type from which a Go type is decoded.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative, of at most " + strconv.Itoa(t.Bits()) + " bits"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		if t.Implements(textMarshaler) {
			return "a string"
		}
		return "an object"
	}
	return "a string"
}

var textMarshaler = reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()

// checkQuery refuses parameters that the route does not know or that are given twice.
func checkQuery(q url.Values, known []param) error {
	for name, vs := range q {
		if !slices.ContainsFunc(known, func(p param) bool { return p.name == name }) {
			e := intent.Invalidf("unknown parameter %q", name)
			if len(known) > 0 {
				var names []string
				for _, p := range known {
					names = append(names, p.name)
				}
				e = e.WithHint("the parameters are %s", strings.Join(names, ", "))
			}
			return e
		}
		if len(vs) > 1 {
			return intent.Invalidf("parameter %q is given %d times", name, len(vs))
		}
	}
	return nil
}

func queryBool(q url.Values, name string) (bool, error) {
	switch v := q.Get(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, intent.Invalidf("parameter %s=%q is malformed", name, v).WithHint("give true or false")
	}
}

func queryRevision(q url.Values) (int64, error) {
	n, err := strconv.ParseInt(q.Get("revision"), 10, 64)
	if err != nil || n < 0 {
		return 0, intent.Invalidf("parameter revision=%q is malformed", q.Get("revision")).WithHint("give the revision that the change was answered with")
	}
	return n, nil
}

// maxWait bounds how long one request may wait for hosts.
const maxWait = time.Hour

func queryTimeout(q url.Values) (time.Duration, error) {
	s := q.Get("timeout")
	if s == "" {
		return 30 * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > maxWait {
		return 0, intent.Invalidf("parameter timeout=%q is malformed", s).WithHint("give a duration such as 30s, at most %s", maxWait)
	}
	return d, nil
}
