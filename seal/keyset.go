package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amtscs/amtscs/kv"
	scsstorev1 "github.com/amtscs/amtscs/proto/scsstore/v1"
)

// table holds the wrapped keyset under the key "keyset".
const table kv.Table = "seal"

var keysetKey = []byte("keyset")

// wrapData is the associated data of a wrapped keyset.
const wrapData = "amtscs keyset"

// Create draws a keyset and returns it with its wrapped form.
func Create(kek KEK) (*Keyset, []byte, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, nil, fmt.Errorf("drawing a keyset: %w", err)
	}
	at := timestamppb.New(time.Now())
	wrapped, err := wrap(kek, h, &scsstorev1.WrappedKeyset{Generation: 1, CreatedAt: at, ChangedAt: at})
	if err != nil {
		return nil, nil, err
	}
	k, err := Open(kek, wrapped)
	if err != nil {
		return nil, nil, err
	}
	return k, wrapped, nil
}

// wrap completes w with the keyset and encodes it.
func wrap(kek KEK, h *keyset.Handle, w *scsstorev1.WrappedKeyset) ([]byte, error) {
	var buf bytes.Buffer
	if err := h.WriteWithAssociatedData(keyset.NewBinaryWriter(&buf), kek, []byte(wrapData)); err != nil {
		return nil, fmt.Errorf("wrapping the keyset: %w", err)
	}
	w.KekId, w.Keyset = kek.ID(), buf.Bytes()
	b, err := proto.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("wrapping the keyset: %w", err)
	}
	return b, nil
}

// Open unwraps a wrapped keyset. The error is ErrWrongKEK when another
// key-encryption key wrapped it, else ErrWrapped.
func Open(kek KEK, wrapped []byte) (*Keyset, error) {
	w, err := decode(wrapped)
	if err != nil {
		return nil, err
	}
	ks, err := unwrap(kek, w)
	if err != nil {
		return nil, err
	}
	k := &Keyset{}
	k.now.Store(ks)
	return k, nil
}

func decode(wrapped []byte) (*scsstorev1.WrappedKeyset, error) {
	w := &scsstorev1.WrappedKeyset{}
	if err := proto.Unmarshal(wrapped, w); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrapped, err)
	}
	return w, nil
}

func unwrap(kek KEK, w *scsstorev1.WrappedKeyset) (*keys, error) {
	if w.GetKekId() != kek.ID() {
		return nil, fmt.Errorf("%w: the store needs key %s and this is key %s", ErrWrongKEK, w.GetKekId(), kek.ID())
	}
	h, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(w.GetKeyset())), kek, []byte(wrapData))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrapped, err)
	}
	ks, err := newKeys(h, w.GetGeneration())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrapped, err)
	}
	return ks, nil
}

// Init draws a keyset and keeps it in the store, which must have none: else the
// error is ErrExists.
func Init(ctx context.Context, store kv.Store, kek KEK) (*Keyset, error) {
	k, wrapped, err := Create(kek)
	if err != nil {
		return nil, err
	}
	err = store.Update(ctx, func(tx kv.Tx) error {
		_, err := tx.Get(table, keysetKey)
		switch {
		case err == nil:
			return ErrExists
		case !errors.Is(err, kv.ErrNotFound):
			return err
		}
		return tx.Put(table, keysetKey, wrapped)
	})
	if err != nil {
		return nil, fmt.Errorf("storing a new keyset: %w", err)
	}
	return k, nil
}

// Load reads the keyset of the store. Errors: ErrNoKeyset, ErrWrongKEK,
// ErrWrapped.
func Load(ctx context.Context, store kv.Store, kek KEK) (*Keyset, error) {
	var wrapped []byte
	err := store.View(ctx, func(r kv.Reader) error {
		var err error
		wrapped, err = r.Get(table, keysetKey)
		return err
	})
	if errors.Is(err, kv.ErrNotFound) {
		return nil, ErrNoKeyset
	}
	if err != nil {
		return nil, fmt.Errorf("loading the keyset: %w", err)
	}
	return Open(kek, wrapped)
}

// Rotate adds a key, keeps the keyset in the store and seals with the new key
// from then on. What older keys sealed still opens; Reseal brings it to the new
// one. kek is the key-encryption key of the store. Other processes must Load
// before they can open what is sealed from now on. When the commit's outcome is
// unknown the keyset stays as it is.
func (k *Keyset) Rotate(ctx context.Context, store kv.Store, kek KEK) error {
	m := keyset.NewManagerFromHandle(k.now.Load().handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("adding a key to the keyset: %w", err)
	}
	if err := m.SetPrimary(id); err != nil {
		return fmt.Errorf("adding a key to the keyset: %w", err)
	}
	h, err := m.Handle()
	if err != nil {
		return fmt.Errorf("adding a key to the keyset: %w", err)
	}
	return k.replace(ctx, store, kek, kek, h)
}

// Rewrap keeps the keyset in the store under the key-encryption key next instead
// of old. The secrets stay as they are.
func (k *Keyset) Rewrap(ctx context.Context, store kv.Store, old, next KEK) error {
	return k.replace(ctx, store, old, next, k.now.Load().handle)
}

// replace stores h in the place of this keyset, and only then uses it.
func (k *Keyset) replace(ctx context.Context, store kv.Store, old, next KEK, h *keyset.Handle) error {
	before := k.now.Load()
	ks, err := newKeys(h, before.generation+1)
	if err != nil {
		return err
	}
	var created *timestamppb.Timestamp
	err = store.View(ctx, func(r kv.Reader) error {
		w, err := stored(r, before.generation)
		if err != nil {
			return err
		}
		if _, err := unwrap(old, w); err != nil { // refuses a wrong key
			return err
		}
		created = w.GetCreatedAt()
		return nil
	})
	if err != nil {
		return fmt.Errorf("changing the keyset: %w", err)
	}
	wrapped, err := wrap(next, h, &scsstorev1.WrappedKeyset{
		Generation: ks.generation, CreatedAt: created, ChangedAt: timestamppb.New(time.Now()),
	})
	if err != nil {
		return err
	}
	err = store.Update(ctx, func(tx kv.Tx) error {
		if _, err := stored(tx, before.generation); err != nil {
			return err
		}
		return tx.Put(table, keysetKey, wrapped)
	})
	if err != nil {
		return fmt.Errorf("changing the keyset: %w", err)
	}
	if !k.now.CompareAndSwap(before, ks) {
		return fmt.Errorf("changing the keyset: %w", ErrChanged)
	}
	return nil
}

// stored reads the wrapped keyset, which must be of the given generation.
func stored(r kv.Reader, generation uint64) (*scsstorev1.WrappedKeyset, error) {
	b, err := r.Get(table, keysetKey)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, ErrNoKeyset
	}
	if err != nil {
		return nil, err
	}
	w, err := decode(b)
	if err != nil {
		return nil, err
	}
	if w.GetGeneration() != generation {
		return nil, ErrChanged
	}
	return w, nil
}
