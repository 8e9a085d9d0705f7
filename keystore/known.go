package keystore

import (
	"fmt"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// CheckExport returns ErrNoJob for an id that is no export's: one that was never
// drawn, or that an import has which is under way. An export that ended is none
// of these, so that FinishExport can be called again when its answer was lost.
func (s *Store) CheckExport(r kv.Reader, id uint64) error {
	last, err := number(r, lastJobKey)
	if err != nil {
		return err
	}
	if id == 0 || id > uint64(last) {
		return fmt.Errorf("export %d: %w", id, ErrNoJob)
	}
	imports, err := jobs(r, scsstorev1.KeyJobKind_KEY_JOB_KIND_IMPORT)
	if err != nil {
		return err
	}
	for _, j := range imports {
		if j.GetId() == id {
			return fmt.Errorf("export %d is an import: %w", id, ErrNoJob)
		}
	}
	return nil
}
