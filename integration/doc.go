// Package integration tests the whole product on loopback: testscript scripts
// that run the real scsd, scsctl and amtsim, the README's session among them,
// crash and power-loss tests, the search for leaked secrets, and the rules of
// the tree (imports, generated code, documents).
//
// It holds no product code, and its tests reach nothing but 127.0.0.0/8 and ::1.
package integration
