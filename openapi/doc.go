// Package openapi holds the OpenAPI documents of the API, as the binary prints
// them (grapnel openapi): 3.1, and 3.0 for older tools. Clients are generated
// from them. There is no code here: it imports nothing, and its one invariant is
// that the files equal what the binary prints, which its test holds
// (go test ./openapi -update writes them anew).
package openapi
