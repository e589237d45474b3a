package ovloom_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// messageAt is where the message is among the arguments of a logger's methods.
var messageAt = map[string]int{
	"Debug": 0, "Info": 0, "Warn": 0, "Error": 0, "Log": 2,
	"DebugContext": 1, "InfoContext": 1, "WarnContext": 1, "ErrorContext": 1,
}

var logKey = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// Whoever searches a log, or counts what it says, needs messages that are constant, keys
// of one form, and one key for errors.
func TestLogMessagesAreConstant(t *testing.T) {
	calls := 0
	fset := token.NewFileSet()
	look := func(f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !strings.HasSuffix(strings.ToLower(nameOf(method.X)), "log") && !strings.HasSuffix(strings.ToLower(nameOf(method.X)), "logger") {
				return true
			}
			at, ok := messageAt[method.Sel.Name]
			if !ok || len(call.Args) <= at {
				return true
			}
			calls++
			where := fset.Position(call.Pos())
			if _, ok := literal(call.Args[at]); !ok {
				t.Errorf("%s: the message is not constant: say what varies in attributes", where)
			}
			for i := at + 1; i+1 < len(call.Args); i += 2 {
				key, ok := literal(call.Args[i])
				switch {
				case !ok:
					t.Errorf("%s: a key is not constant", where)
				case !logKey.MatchString(key):
					t.Errorf("%s: key %q: lower case, with hyphens between words", where, key)
				case key != "error" && strings.HasSuffix(strings.ToLower(nameOf(call.Args[i+1])), "err"), key == "err", key == "cause":
					t.Errorf("%s: key %q: the key of an error is \"error\"", where, key)
				}
			}
			return true
		})
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (skipped(path) || path == "integration"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err == nil {
			look(f)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls < 50 {
		t.Errorf("only %d calls of loggers found: the test does not see them", calls)
	}
}

// literal returns the value of a constant string.
func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

// nameOf returns the last name of an expression such as c.log; "" if it has none.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
