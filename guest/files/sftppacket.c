#include "files/sftppacket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

static uint8_t in[SFTP_MAX_PACKET_BYTES], out[SFTP_MAX_PACKET_BYTES + 64];
static size_t in_at, in_length, out_length;
/* Offset of the name count in the response. */
static size_t names_at;
static bool is_malformed;
static uint32_t request;

static bool read_exactly(uint8_t *to, size_t length)
{
	while (length > 0) {
		ssize_t count = read(STDIN_FILENO, to, length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return false;
		to += count;
		length -= (size_t)count;
	}
	return true;
}

static uint32_t big32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

uint32_t sftp_get32(void)
{
	if (in_length - in_at < 4) {
		is_malformed = true;
		return 0;
	}
	in_at += 4;
	return big32(in + in_at - 4);
}

uint64_t sftp_get64(void)
{
	uint64_t high = sftp_get32();
	return high << 32 | sftp_get32();
}

bool sftp_receive(uint8_t *type)
{
	uint8_t header[5];
	if (!read_exactly(header, sizeof header))
		return false;
	uint32_t length = big32(header);
	if (length < 5 || length - 1 > sizeof in || !read_exactly(in, length - 1))
		exit(1);
	in_at = 0;
	in_length = length - 1;
	is_malformed = false;
	*type = header[4];
	request = *type == FXP_INIT ? 0 : sftp_get32();
	return true;
}

bool sftp_is_malformed(void)
{
	return is_malformed;
}

const uint8_t *sftp_get_bytes(size_t *length)
{
	*length = sftp_get32();
	if (is_malformed || *length > in_length - in_at) {
		is_malformed = true;
		*length = 0;
		return in;
	}
	in_at += *length;
	return in + in_at - *length;
}

/* An empty path means the session's directory. */
void sftp_get_path(char *path)
{
	size_t length;
	const uint8_t *bytes = sftp_get_bytes(&length);
	if (length >= SFTP_MAX_PATH_BYTES || memchr(bytes, 0, length))
		is_malformed = true;
	else
		memcpy(path, bytes, length);
	path[is_malformed ? 0 : length] = 0;
	if (!path[0])
		strcpy(path, ".");
}

void sftp_get_attributes(struct sftp_attributes *attributes)
{
	*attributes = (struct sftp_attributes){ .flags = sftp_get32() };
	if (attributes->flags & ATTR_SIZE)
		attributes->size = sftp_get64();
	if (attributes->flags & ATTR_OWNER) {
		attributes->uid = sftp_get32();
		attributes->gid = sftp_get32();
	}
	if (attributes->flags & ATTR_MODE)
		attributes->mode = sftp_get32();
	if (attributes->flags & ATTR_TIMES) {
		attributes->atime = sftp_get32();
		attributes->mtime = sftp_get32();
	}
}

void sftp_put32(uint32_t number)
{
	uint8_t bytes[4] = { (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number };
	memcpy(out + out_length, bytes, 4);
	out_length += 4;
}

void sftp_put64(uint64_t number)
{
	sftp_put32((uint32_t)(number >> 32));
	sftp_put32((uint32_t)number);
}

void sftp_put_bytes(const void *bytes, size_t length)
{
	sftp_put32((uint32_t)length);
	memcpy(out + out_length, bytes, length);
	out_length += length;
}

void sftp_put_text(const char *text)
{
	sftp_put_bytes(text, strlen(text));
}

/* Starts a response; sftp_finish() fills in the length. */
void sftp_begin(enum sftp_type type)
{
	out_length = 4;
	out[out_length++] = (uint8_t)type;
	if (type != FXP_VERSION)
		sftp_put32(request);
}

void sftp_finish(void)
{
	size_t length = out_length;
	out_length = 0;
	sftp_put32((uint32_t)(length - 4));
	if (!write_all(STDOUT_FILENO, out, length))
		exit(1);
}

uint8_t *sftp_begin_data(void)
{
	sftp_begin(FXP_DATA);
	return out + out_length + 4;
}

void sftp_finish_data(size_t length)
{
	sftp_put32((uint32_t)length);
	out_length += length;
	sftp_finish();
}

void sftp_begin_names(void)
{
	sftp_begin(FXP_NAME);
	names_at = out_length;
	sftp_put32(0);
}

void sftp_finish_names(uint32_t count)
{
	size_t end = out_length;
	out_length = names_at;
	sftp_put32(count);
	out_length = end;
	sftp_finish();
}

void sftp_answer_status(enum sftp_status status, const char *message)
{
	sftp_begin(FXP_STATUS);
	sftp_put32(status);
	sftp_put_text(message);
	sftp_put_text("");
	sftp_finish();
}

void sftp_answer_errno(int error)
{
	enum sftp_status status = error == 0 ? FX_OK
			   : error == ENOENT || error == ENOTDIR || error == ELOOP || error == EBADF ? FX_NO_SUCH_FILE
			   : error == EACCES || error == EPERM || error == EROFS ? FX_PERMISSION_DENIED
			   : error == ENOSYS || error == EOPNOTSUPP ? FX_OP_UNSUPPORTED
								    : FX_FAILURE;
	sftp_answer_status(status, error == 0 ? "Success" : strerror(error));
}

void sftp_answer_result(int result)
{
	sftp_answer_errno(result < 0 ? errno : 0);
}

void sftp_put_attributes(const struct stat *info)
{
	sftp_put32(ATTR_SIZE | ATTR_OWNER | ATTR_MODE | ATTR_TIMES);
	sftp_put64((uint64_t)info->st_size);
	sftp_put32(info->st_uid);
	sftp_put32(info->st_gid);
	sftp_put32(info->st_mode);
	sftp_put32((uint32_t)info->st_atime);
	sftp_put32((uint32_t)info->st_mtime);
}

void sftp_answer_attributes(int result, const struct stat *info)
{
	if (result < 0) {
		sftp_answer_errno(errno);
		return;
	}
	sftp_begin(FXP_ATTRS);
	sftp_put_attributes(info);
	sftp_finish();
}
