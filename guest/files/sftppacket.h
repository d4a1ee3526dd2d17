/* Packets of SFTP version 3: decodes requests from stdin and encodes responses to stdout, one at a time. */
#ifndef BANGER_SFTPPACKET_H
#define BANGER_SFTPPACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define SFTP_MAX_PACKET_BYTES (256 * 1024)
#define SFTP_MAX_DATA_BYTES (SFTP_MAX_PACKET_BYTES - 1024)
#define SFTP_MAX_PATH_BYTES 4096

enum sftp_type {
	FXP_INIT = 1, FXP_VERSION = 2, FXP_OPEN = 3, FXP_CLOSE, FXP_READ, FXP_WRITE, FXP_LSTAT, FXP_FSTAT, FXP_SETSTAT, FXP_FSETSTAT, FXP_OPENDIR, FXP_READDIR, FXP_REMOVE, FXP_MKDIR, FXP_RMDIR,
	FXP_REALPATH, FXP_STAT, FXP_RENAME, FXP_READLINK, FXP_SYMLINK, FXP_STATUS = 101, FXP_HANDLE, FXP_DATA, FXP_NAME, FXP_ATTRS, FXP_EXTENDED = 200, FXP_EXTENDED_REPLY = 201,
};

enum sftp_status { FX_OK, FX_EOF, FX_NO_SUCH_FILE, FX_PERMISSION_DENIED, FX_FAILURE, FX_BAD_MESSAGE, FX_OP_UNSUPPORTED = 8 };

enum sftp_open_flag { FXF_READ = 1, FXF_WRITE = 2, FXF_APPEND = 4, FXF_CREAT = 8, FXF_TRUNC = 16, FXF_EXCL = 32 };

enum sftp_attribute { ATTR_SIZE = 1, ATTR_OWNER = 2, ATTR_MODE = 4, ATTR_TIMES = 8 };

struct sftp_attributes {
	uint32_t flags, uid, gid, mode, atime, mtime;
	uint64_t size;
};

/* Reads the next request; false at the end of stdin. A packet that is too long ends the program. */
bool sftp_receive(uint8_t *type);

/* Decode the request's fields in order. sftp_is_malformed() tells whether one was missing or too long. */
uint32_t sftp_get32(void);
uint64_t sftp_get64(void);
const uint8_t *sftp_get_bytes(size_t *length);
/* `path` has SFTP_MAX_PATH_BYTES; an empty one becomes ".". */
void sftp_get_path(char *path);
void sftp_get_attributes(struct sftp_attributes *attributes);
bool sftp_is_malformed(void);

/* Encode a response: its type, its fields; sftp_finish() sends it. */
void sftp_begin(enum sftp_type type);
void sftp_put32(uint32_t number);
void sftp_put64(uint64_t number);
void sftp_put_bytes(const void *bytes, size_t length);
void sftp_put_text(const char *text);
void sftp_put_attributes(const struct stat *info);
void sftp_finish(void);

/* A DATA response: returns the place for up to SFTP_MAX_DATA_BYTES. */
uint8_t *sftp_begin_data(void);
void sftp_finish_data(size_t length);

/* A NAME response, whose count is known at the end. */
void sftp_begin_names(void);
void sftp_finish_names(uint32_t count);

/* Complete responses. */
void sftp_answer_status(enum sftp_status status, const char *message);
void sftp_answer_errno(int error);
/* For a system call: errno if `result` is negative. */
void sftp_answer_result(int result);
void sftp_answer_attributes(int result, const struct stat *info);

#endif
