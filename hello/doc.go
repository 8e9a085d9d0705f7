// Package hello reads the message by which an Intel AMT device asks to be set
// up, and listens for it.
//
// A device connects to TCP 9971, writes one message and closes; there is no
// answer, no magic and no length prefix. All integers are little-endian and
// packed (Intel AMT Implementation and Reference Guide, "Setup Mode Hello
// Messages"; version 3 by captures and MeshCentral's parser):
//
//	offset size field
//	0      2    admin credentials set: 0 or 1
//	2      2    version: 2 = PSK, 3 = PKI
//	4      4    retry count: 0 to 14 in Intel's table, more seen
//	8      16   UUID, in the byte order of SMBIOS
//	version 2, 32 bytes in all
//	24     8    PID, without its dash
//	version 3
//	24     1    number of hashes, 0 legal
//	25     ...  each: algorithm (1 byte), length (1 byte), sum (length bytes)
//	...    0-3  trailing bytes, as one work-alike firmware may send
//
// A hello is neither encrypted nor authenticated: anyone can send one with any
// UUID and PID. It is a trigger to dial the sender back and never a fact.
//
// The package does not look pairs up, does not dial, stores nothing, and does
// not check a PID's alphabet or check character: amt.PID.Check does.
package hello
