// Package verifytest has the tests that need both sides of a signature: internal/signing, which signs, and verify/go,
// which receivers verify with. verify/go is a module of its own that must not import the product. The code of
// verify/README.md is tried here, too.
package verifytest
