#include "wire/event.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/paths.h"
#include "wire/fields.h"
#include "wire/watch.h"

/* The first and the latest phases are kept; the last entry is overwritten. */
#define MAX_PHASES 16
#define MAX_DATAGRAM_BYTES (MAX_EVENT_TEXT_BYTES + 128)

struct phase {
	char name[24];
	uint64_t uptime;
	size_t length;
	char text[MAX_EVENT_TEXT_BYTES];
};

static struct phase phases[MAX_PHASES];
static int phase_count;
static int sent_count;
static int notify_fd = -1;

static void add_phase(const char *name, uint64_t uptime, const char *text)
{
	if (phase_count == MAX_PHASES) {
		phase_count--;
		if (sent_count > phase_count)
			sent_count = phase_count;
	}
	struct phase *phase = &phases[phase_count++];
	snprintf(phase->name, sizeof phase->name, "%s", name);
	phase->uptime = uptime;
	phase->length = strlen(text);
	/* Long texts are logs: their end is kept. */
	if (phase->length > MAX_EVENT_TEXT_BYTES) {
		text += phase->length - MAX_EVENT_TEXT_BYTES;
		phase->length = MAX_EVENT_TEXT_BYTES;
	}
	memcpy(phase->text, text, phase->length);
}

static size_t encode(uint8_t *bytes, size_t size, const char *phase, uint64_t uptime, const char *text, size_t length)
{
	struct field_writer writer = { .bytes = bytes, .size = size };
	if (phase)
		field_put_text(&writer, TAG_PHASE, phase);
	field_put_number(&writer, TAG_UPTIME_MS, uptime);
	field_put(&writer, TAG_TEXT, text, length);
	return writer.length;
}

/* The file is a list of fields; a text field completes a phase. */
void events_load(void)
{
	static char bytes[4 * MAX_DATAGRAM_BYTES];
	ssize_t length = read_file(PHASES_PATH, bytes, sizeof bytes);
	struct field_reader reader = { .at = (uint8_t *)bytes, .left = length > 0 ? (size_t)length : 0 };
	struct field field;
	char name[24] = "";
	uint64_t uptime = 0;
	static char text[MAX_EVENT_TEXT_BYTES + 1];
	while (field_next(&reader, &field)) {
		if (field.tag == TAG_PHASE)
			snprintf(name, sizeof name, "%.*s", (int)field.length, (char *)field.value);
		else if (field.tag == TAG_UPTIME_MS)
			uptime = field_number(&field);
		else if (field.tag == TAG_TEXT && field.length < sizeof text) {
			memcpy(text, field.value, field.length);
			text[field.length] = 0;
			add_phase(name, uptime, text);
		}
	}
}

void events_record(const char *phase, const char *text)
{
	static uint8_t bytes[MAX_DATAGRAM_BYTES];
	size_t length = strlen(text) < MAX_EVENT_TEXT_BYTES ? strlen(text) : MAX_EVENT_TEXT_BYTES;
	size_t size = encode(bytes, sizeof bytes, phase, uptime_ms(), text + strlen(text) - length, length);
	int fd = open(PHASES_PATH, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || !write_all(fd, bytes, size))
		say("Cannot record the boot phase \"%s\"", phase);
	if (fd >= 0)
		close(fd);
}

void events_phase(const char *phase, const char *text)
{
	add_phase(phase, uptime_ms(), text);
	if (notify_fd >= 0)
		events_record(phase, text);
}

void events_replay(void)
{
	sent_count = 0;
}

bool events_pump(struct link *link)
{
	static uint8_t bytes[MAX_DATAGRAM_BYTES];
	bool moved = false;
	while (link->synced && sent_count < phase_count) {
		struct phase *phase = &phases[sent_count];
		size_t size = encode(bytes, sizeof bytes, phase->name, phase->uptime, phase->text, phase->length);
		if (!link_send(link, FRAME_EVENT, 0, 0, bytes, size))
			break;
		sent_count++;
		moved = true;
	}
	return moved;
}

static struct sockaddr_un notify_address(void)
{
	return (struct sockaddr_un){ .sun_family = AF_UNIX, .sun_path = NOTIFY_PATH };
}

bool events_listen(void)
{
	struct sockaddr_un address = notify_address();
	unlink(NOTIFY_PATH);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return notify_fd >= 0 && bind(notify_fd, (struct sockaddr *)&address, sizeof address) == 0 &&
	       watch_add(notify_fd, EPOLLIN, (struct watch){ .role = WATCH_NOTIFY });
}

void events_receive(struct link *link)
{
	static uint8_t bytes[MAX_DATAGRAM_BYTES];
	static char text[MAX_EVENT_TEXT_BYTES + 1];
	ssize_t length;
	while ((length = recv(notify_fd, bytes, sizeof bytes, 0)) > 0) {
		char phase[24];
		if (!fields_valid(bytes, (size_t)length))
			continue;
		if (!field_text_of(bytes, (size_t)length, TAG_TEXT, text, sizeof text))
			text[0] = 0;
		if (field_text_of(bytes, (size_t)length, TAG_PHASE, phase, sizeof phase))
			events_phase(phase, text);
		/* Log lines leave room for frames that must not be lost. */
		else if (link->synced && link_has_room(link, (size_t)length + LINK_RESERVE_BYTES))
			link_send(link, FRAME_EVENT, 0, 0, bytes, (size_t)length);
	}
}

bool events_notify(const char *phase, const char *text)
{
	static uint8_t bytes[MAX_DATAGRAM_BYTES];
	struct sockaddr_un address = notify_address();
	size_t length = strlen(text);
	if (length > MAX_EVENT_TEXT_BYTES) {
		text += length - MAX_EVENT_TEXT_BYTES;
		length = MAX_EVENT_TEXT_BYTES;
	}
	size_t size = encode(bytes, sizeof bytes, phase, uptime_ms(), text, length);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool done = fd >= 0 && sendto(fd, bytes, size, MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address) >= 0;
	if (fd >= 0)
		close(fd);
	return done;
}
