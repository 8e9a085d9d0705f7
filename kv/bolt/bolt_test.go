package bolt_test

import (
	"path/filepath"
	"testing"

	"github.com/amtscs/amtscs/kv"
	"github.com/amtscs/amtscs/kv/bolt"
	"github.com/amtscs/amtscs/kv/kvtest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	kvtest.Run(t, func(t *testing.T) kv.Store {
		db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), bolt.Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		return db
	})
}
