package media

import "encoding/binary"

// Geometry that partition table and boot sector tell; nothing else uses it.
const (
	heads   = 255
	perHead = 63 // sectors
)

// skip is code that asks the BIOS for its next boot device, and halts if there is
// none: int 0x18; hlt; jmp back to hlt.
var skip = []byte{0xcd, 0x18, 0xf4, 0xeb, 0xfd}

// putMBR fills sector 0: code, disk signature, one entry, 0x55AA.
func (i *Image) putMBR(b []byte) {
	le := binary.LittleEndian
	copy(b, skip)
	le.PutUint32(b[440:], i.o.Serial)
	e := b[446:]
	e[0] = 0 // not active
	putCHS(e[1:], i.start)
	e[4] = i.partitionType()
	putCHS(e[5:], i.start+i.volume-1)
	le.PutUint32(e[8:], uint32(i.start))
	le.PutUint32(e[12:], uint32(i.volume))
	b[510], b[511] = 0x55, 0xaa
}

func (i *Image) partitionType() byte {
	switch {
	case i.o.FAT == FAT32:
		return 0x0c
	case i.volume < 1<<16:
		return 0x04
	}
	return 0x06
}

// putCHS fills three bytes: head, sector and the cylinder's high bits, cylinder.
func putCHS(b []byte, lba int64) {
	cylinder := lba / (heads * perHead)
	b[0] = byte(lba / perHead % heads)
	b[1] = byte(lba%perHead+1) | byte(cylinder>>8<<6)
	b[2] = byte(cylinder)
}

// putBoot fills the boot sector of a volume, and with FAT32 its companions.
func (i *Image) putBoot(b []byte) {
	le := binary.LittleEndian
	copy(b[3:], "MSWIN4.1") // what most drivers expect (Microsoft)
	le.PutUint16(b[11:], sector)
	b[13] = byte(i.cluster)
	le.PutUint16(b[14:], uint16(i.reserved()))
	b[16] = fats
	if i.volume < 1<<16 && i.o.FAT == FAT16 {
		le.PutUint16(b[19:], uint16(i.volume))
	} else {
		le.PutUint32(b[32:], uint32(i.volume))
	}
	b[21] = 0xf8
	le.PutUint16(b[24:], perHead)
	le.PutUint16(b[26:], heads)
	le.PutUint32(b[28:], uint32(i.start))
	b[510], b[511] = 0x55, 0xaa
	if i.o.FAT == FAT16 {
		le.PutUint16(b[17:], rootEntries)
		le.PutUint16(b[22:], uint16(i.fat))
		i.putVolume(b, 36, "FAT16   ")
		return
	}
	le.PutUint32(b[36:], uint32(i.fat))
	le.PutUint32(b[44:], 2) // the root folder's cluster
	le.PutUint16(b[48:], 1) // FSInfo
	le.PutUint16(b[50:], 6) // the boot sector again
	i.putVolume(b, 64, "FAT32   ")
	i.putInfo(b[sector:])
	copy(b[6*sector:], b[:2*sector])
}

// putVolume fills the end of the parameter block, which begins at different
// places, and the code behind it.
func (i *Image) putVolume(b []byte, at int, kind string) {
	b[at] = 0x80
	b[at+2] = 0x29
	binary.LittleEndian.PutUint32(b[at+3:], i.o.Serial)
	copy(b[at+7:], "NO NAME    ")
	copy(b[at+18:], kind)
	code := at + 26
	copy(b, []byte{0xeb, byte(code - 2), 0x90})
	copy(b[code:], skip)
}

// putInfo fills FSInfo: free clusters, and where to look for one.
func (i *Image) putInfo(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b, 0x41615252)
	le.PutUint32(b[484:], 0x61417272)
	le.PutUint32(b[488:], uint32(i.count-i.clusters()-1))
	le.PutUint32(b[492:], uint32(i.firstCluster()+i.clusters()))
	le.PutUint32(b[508:], 0xaa550000)
}
