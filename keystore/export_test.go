package keystore

// SetRun sets how many records an import sorts and stores at a time.
func SetRun(s *Store, n int) { s.runLen = n }
