// Package skerry runs the real bin/skerry for tests that judge it from outside.
//
//	s := skerry.Start(t, skerry.Options{})
//	resp, err := s.Client().Get(s.URL + "/v2/") // 401: nobody logged in
//	s.Kill()    // as a power cut would, less the disk's own memory
//	s.Restart() // same data, same address
//
// The server listens on a free port of the loopback interface, works in a
// directory of the test's own and ends with the test, however that ends. It
// imports nothing of ours, so that it sees what any client sees.
package skerry
