package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// secretName matches names of values that are secrets or must be treated as such.
var secretName = regexp.MustCompile(`(?i)(secret|signature|hmac|hash|adminkey|encryptionkey|keytext|password)$`)

// isSecret reports whether an expression is a secret by its last name, or reveals a secret.
func isSecret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CallExpr:
		if s, ok := e.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Reveal" {
			return true
		}
		// A conversion, such as string(secret) or []byte(secret).
		return len(e.Args) == 1 && isSecret(e.Args[0])
	case *ast.SelectorExpr:
		return secretName.MatchString(e.Sel.Name)
	case *ast.Ident:
		return secretName.MatchString(e.Name)
	case *ast.StarExpr:
		return isSecret(e.X)
	case *ast.ParenExpr:
		return isSecret(e.X)
	case *ast.SliceExpr:
		return isSecret(e.X)
	default:
		return false
	}
}

// toNothing reports whether a comparison with e reveals nothing: e is "", 0 or nil.
func toNothing(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Value == `""` || e.Kind == token.INT
	case *ast.Ident:
		return e.Name == "nil"
	default:
		return false
	}
}

// compares returns the operands if the node is a comparison that takes longer the more leading bytes are equal.
func compares(n ast.Node) (a, b ast.Expr, ok bool) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.EQL || n.Op == token.NEQ {
			return n.X, n.Y, true
		}
	case *ast.CallExpr:
		s, isSelector := n.Fun.(*ast.SelectorExpr)
		if !isSelector || len(n.Args) != 2 {
			return nil, nil, false
		}
		pkg, isIdent := s.X.(*ast.Ident)
		if isIdent && regexp.MustCompile(`^(bytes|strings|slices|cmp|reflect)\.(Equal|EqualFold|Compare|DeepEqual|HasPrefix|HasSuffix|Contains)$`).MatchString(pkg.Name+"."+s.Sel.Name) {
			return n.Args[0], n.Args[1], true
		}
	}
	return nil, nil, false
}

// Secrets are compared in constant time: the duration of a comparison must not reveal how much of a guess was right.
// API keys are looked up by their hash in the database and never compared here; code that compares secrets uses
// hmac.Equal or crypto/subtle.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()

	root := repoRoot(t)
	for _, path := range goFiles(t, root) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}

		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, filepath.Join(root, filepath.FromSlash(path)), nil, parser.SkipObjectResolution)
		require.NoError(t, err)

		for _, found := range comparisonsOfSecrets(file) {
			t.Errorf("%s: a secret is compared in a time that tells of it: use hmac.Equal or subtle.ConstantTimeCompare", fset.Position(found))
		}
	}
}

func comparisonsOfSecrets(file *ast.File) (found []token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		a, b, ok := compares(n)
		if ok && (isSecret(a) && !toNothing(b) || isSecret(b) && !toNothing(a)) {
			found = append(found, n.Pos())
		}

		return true
	})

	return found
}

func TestComparisonsOfSecretsAreFound(t *testing.T) {
	t.Parallel()

	for expression, bad := range map[string]bool{
		`w.Secret == given`:                     true,
		`given.Reveal() != text`:                true,
		`bytes.Equal(keyHash, sum)`:             true,
		`string(signature) == want`:             true,
		`strings.EqualFold(x, c.AdminKey)`:      true,
		`*b.Secret != ""`:                       false,
		`b.Secret == nil`:                       false,
		`len(w.Secret) == 0`:                    false,
		`hmac.Equal(signature, expected)`:       false,
		`w.URL == before`:                       false,
		`strings.HasPrefix(secret.Reveal(), p)`: true,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nvar _ = "+expression, 0)
		require.NoError(t, err)
		require.Equal(t, bad, len(comparisonsOfSecrets(file)) > 0, expression)
	}
}
