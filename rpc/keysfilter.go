package rpc

import "github.com/amtscs/amtscs/kv"

// knownBatch refuses a batch that is not there as a filter: an empty list would
// say that it has no pairs. An empty name is no filter.
func (s *keyService) knownBatch(r kv.Reader, name string) error {
	if name == "" {
		return nil
	}
	_, err := s.cfg.Keys.Batch(r, name)
	return err
}
