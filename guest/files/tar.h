/* The tar header block: POSIX.1-1988 ustar, with pax records of POSIX.1-2001. */
#ifndef BANGER_TAR_H
#define BANGER_TAR_H

#define TAR_BLOCK_BYTES 512
#define TAR_MAX_PATH_BYTES 4096
#define TAR_MAX_PAX_BYTES (1024 * 1024)
#define NS_PER_S 1000000000

struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char unused[12];
};

_Static_assert(sizeof(struct tar_header) == TAR_BLOCK_BYTES, "a header is one block");

/* A data segment of a sparse file. */
struct tar_part {
	unsigned long long offset;
	unsigned long long length;
};

#endif
