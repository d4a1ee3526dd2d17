#include "run/request.h"

#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "base/io.h"
#include "base/procfs.h"
#include "run/power.h"
#include "wire/fields.h"

#define NS_PER_S 1000000000ULL
#define LOAD_SCALE 65536

static uint64_t available_memory(void)
{
	static const char name[] = "MemAvailable:";
	char text[2048];
	const char *line = read_file("/proc/meminfo", text, sizeof text) > 0 ? strstr(text, name) : NULL;
	return line ? procfs_number(line + strlen(name)) * 1024 : 0;
}

static void answer_health(struct field_writer *writer)
{
	struct sysinfo info;
	struct timespec now;
	if (sysinfo(&info) < 0 || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return;
	field_put_number(writer, TAG_UPTIME_MS, uptime_ms());
	field_put_number(writer, TAG_TIME_NS, (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec);
	field_put_number(writer, TAG_MEMORY_TOTAL_BYTES, (uint64_t)info.totalram * info.mem_unit);
	field_put_number(writer, TAG_MEMORY_AVAILABLE_BYTES, available_memory());
	field_put_number(writer, TAG_LOAD_MILLI, (uint64_t)info.loads[0] * 1000 / LOAD_SCALE);
	field_put_number(writer, TAG_PROCESSES, info.procs);
	field_put_number(writer, TAG_STREAMS, (uint64_t)streams_count() - 1);
}

static void set_time(struct stream *stream, uint64_t unix_ns)
{
	struct timespec time = { .tv_sec = (time_t)(unix_ns / NS_PER_S), .tv_nsec = (long)(unix_ns % NS_PER_S) };
	if (unix_ns == 0)
		stream_fail(stream, "invalid_argument", "Missing time");
	else if (clock_settime(CLOCK_REALTIME, &time) < 0)
		stream_fail(stream, "permission_denied", "Cannot set the clock");
}

static const char *(*take_identity)(const uint8_t *bytes, size_t length, bool *is_unsettled);

void request_on_identity(const char *(*take)(const uint8_t *bytes, size_t length, bool *is_unsettled))
{
	take_identity = take;
}

static void answer_identity(struct stream *stream, struct field_writer *writer, const uint8_t *bytes, size_t length)
{
	bool is_unsettled = false;
	const char *problem = take_identity ? take_identity(bytes, length, &is_unsettled) : "This agent does not run a machine";
	if (is_unsettled)
		field_put_number(writer, TAG_IS_UNSETTLED, 1);
	if (problem)
		stream_fail(stream, "invalid_state", "%s", problem);
}

void request_answer(struct stream *stream, const uint8_t *bytes, size_t length)
{
	struct field_writer writer = { .bytes = stream->answer, .size = sizeof stream->answer };
	switch (stream->kind) {
	case KIND_HEALTH:
		answer_health(&writer);
		break;
	case KIND_TIME:
		set_time(stream, field_number_of(bytes, length, TAG_TIME_NS, 0));
		break;
	case KIND_IDENTITY:
		answer_identity(stream, &writer, bytes, length);
		break;
	case KIND_SHUTDOWN:
		if (!power_request(field_number_of(bytes, length, TAG_REBOOT, 0) != 0))
			stream_fail(stream, "unsupported", "Cannot shut down: this agent does not run a VM");
		break;
	}
	stream->answer_length = writer.length;
	stream->finished = true;
}
