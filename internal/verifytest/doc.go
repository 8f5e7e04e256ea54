// Package verifytest tests the two sides of a signature together: internal/signing, which signs, and verify/go,
// which receivers use to verify. They are tested here because verify/go is a module that must not import the
// product. The package also tests the code in verify/README.md.
package verifytest
