// Package keystore keeps PID/PPS pairs and the batches they came in: draws
// pairs, adds, imports and exports them, and moves each through its life
// (Available, Reserved, Claimed, Spent, Revoked, Retired) by one table of moves,
// with who, when and why.
//
// A Store holds no database: what reads takes a kv.Reader, what changes takes
// the caller's kv.Tx, so that a pair's move commits with whatever belongs to it.
// Import, Generate, FinishExport, RetireUnused and Sweep, which need several
// transactions, take the kv.Store.
//
// Tables; the messages are in proto/scsstore/v1/keys.proto:
//
//	keys             PID, 8 bytes -> Key
//	keys_by_state    index: state
//	keys_by_batch    index: batch, 0x01, state, exported
//	keys_by_uuid     index: UUID of the holder
//	batches          name -> KeyBatch
//	key_mappings     name -> KeyMapping
//	key_counts       scope, state, shard -> number of visible keys
//	key_jobs         id, 8 bytes big-endian -> KeyJob
//	key_job_chunks   id, number in 4 bytes -> KeyJobChunk
//	key_export_ends  id of the export's job -> KeyExportEnd, for a month
//
// A long list is sorted in a temporary file that is sealed and has no name
// (sorter.go, spill.go; docs/decisions/015-imports.md). Other files it does not
// read (keystore/batch and setupbin do). It does not decide who may do what, and
// writes no audit log.
package keystore
