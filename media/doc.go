// Package media makes disk images for USB keys whose first and only file is a
// setup.bin, finds the setup.bin in an image or on a disk, and tells what a disk
// is before it is overwritten.
//
// Firmware reads the file at power-on by its own means, some of it by looking for
// the first file of a FAT file system alone. Vendors say: FAT16; setup.bin first
// in the root folder, best the only file; not fragmented; more than 16 MB; not
// bootable (HP 8100 and dc7900 papers); at most 2 GB, best 512 MB (Intel's and
// Altiris' advice of 2007). Newer firmware reads FAT32. So an image is:
//
//	sector 0     MBR: one partition, not active, of type 0x04 or 0x06 (FAT16) or
//	             0x0C (FAT32), from sector 2048; left out on request
//	2048 + 0     boot sector: BIOS parameter block, hidden sectors 2048
//	     + 1     FAT32: FSInfo; boot sector and FSInfo again at 6 and 7
//	     + 1     FAT16: the first file allocation table (FAT32: + 32)
//	     ..      the second
//	     ..      FAT16: root folder of 512 entries, 32 sectors
//	     ..      FAT32: root folder, cluster 2
//	     ..      setup.bin from cluster 2 (FAT32: 3), contiguous
//
// Sectors have 512 bytes; clusters are those of Microsoft's table ("FAT: General
// Overview of On-Disk Format", 1.03). There is no volume label and no long name:
// the first entry of the root folder is SETUP.BIN. The code in both boot sectors
// calls interrupt 0x18, so that a PC that boots from the key goes on to its next
// device.
//
// It mounts nothing, makes no other files, and does not look into records.
package media
