// Package keystore keeps PID/PPS pairs and the batches they came in: draws
// pairs, adds, imports and exports them, and moves each through its life
// (Available, Reserved, Claimed, Spent, Revoked, Retired) by one table of moves,
// with who, when and why.
//
// A Store holds no database: functions that read take a kv.Reader, functions
// that change take the caller's kv.Tx, so that a pair's move commits with
// whatever belongs to it. Import, Generate, Export and Sweep, which work in
// several transactions, take the kv.Store.
//
// Tables, all of messages in proto/scsstore/v1/keys.proto:
//
//	keys               PID, 8 bytes -> Key
//	keys_by_state      index: state
//	keys_by_batch      index: batch, 0x01, state
//	keys_by_uuid       index: UUID of the holder
//	batches            name -> KeyBatch
//	key_counts         scope, state, shard -> number of visible keys
//	key_jobs           id, 8 bytes big-endian -> KeyJob: imports and exports under way
//	key_job_chunks     id, number -> the PIDs that a job has touched
//
// It does not read files (keystore/batch and setupbin do), does not decide who
// may do what, and writes no audit log.
package keystore
