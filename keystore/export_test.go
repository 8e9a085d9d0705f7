package keystore

// SetRun sets how many bytes of records an import sorts at a time, and how many
// pairs it writes at a time.
func SetRun(s *Store, bytes, pairs int) { s.runLen, s.maxChunk = bytes, pairs }
