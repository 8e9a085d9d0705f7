// Package setupbin reads, writes and consumes setup.bin, the file from which an
// Intel AMT PC takes its passwords, its PID and PPS and its configuration server
// on a USB key.
//
// All integers are little-endian. A file is a header and then records, each a
// whole number of 512-byte chunks, which is 1 in every file that firmware takes
// (MeshCentral's codec; a file made by Intel's Configuration Utility 12.1):
//
//	header             record
//	0x00 16 type UUID    0  4 type: 1 = data
//	0x10  2 chunks       4  4 flags: 1 valid, 2 scrambled (version 4)
//	0x12  2 header size  8  8 reserved
//	0x14  4 number: 0   16  2 chunks
//	0x18  1 major       18  2 header size: 24
//	0x19  1 minor       20  4 number, from 1
//	0x1A  2 flags       24 .. entries
//	0x1C  4 records
//	0x20  4 consumed    entry, padded with zeros to a multiple of 4
//	0x24  2 chunks       0  2 module, 0 ends the list
//	     of a record     2  2 variable
//	0x26  2 reserved     4  2 length of the value
//	0x28 .. module ids,  6  2 reserved
//	        0 ends them  8 .. value
//
// Bit 0 of the header's flags says that firmware shall not consume records. In a
// scrambled record 0x11 is added to every byte from 24 on, padding included;
// that hides nothing, so every setup.bin is as secret as the PPSs in it.
//
// What is read is kept in full and in order, unknown variables, reserved fields
// and padding too: writing what was parsed gives the same bytes. New records
// are checked against the file's version (see Writer); parsed ones are not.
//
// The package makes no file system images, keeps no keys, and draws no pairs.
package setupbin
