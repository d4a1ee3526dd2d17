/*
 * The table of open streams: allocates them, dispatches frames and readiness to them, and closes them. exec.c,
 * connect.c and request.c implement the kinds; pump.c moves the data.
 */
#ifndef BANGER_STREAM_H
#define BANGER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/link.h"
#include "wire/watch.h"

#define MAX_STREAMS 64
/* Input buffer of a stream, and the credit that the host starts with. */
#define STREAM_WINDOW_BYTES (256 * 1024)
#define MAX_MESSAGE_BYTES 200

struct stream_output {
	int fd;
	bool readable;
	/* An eof frame is still to be sent. */
	bool eof_due;
};

struct stream {
	/* 0: this slot is free. */
	uint32_t id;
	uint8_t slot;
	uint8_t kind;
	bool is_terminal;
	/* Connect: connect() is in progress. */
	bool connecting;
	/* An opened frame is still to be sent. */
	bool opened_due;
	/* Exec: the process, 0 once it is reaped; and the pid that the host gets. */
	pid_t pid;
	pid_t host_pid;

	/* Credit for data to the host, and for data from it. */
	uint64_t send_credit;
	uint32_t receive_credit;
	/* Bytes consumed and not yet granted again. */
	uint32_t owed;

	struct stream_output out[CHANNELS];

	int in_fd;
	bool in_writable;
	/* The host has sent its eof. */
	bool in_ended;
	/* An eof frame that refuses more input is still to be sent. */
	bool in_refused_due;
	size_t ring_start;
	size_t ring_length;

	/* The result is known; the close frame follows once the output is drained. */
	bool finished;
	int exit_code;
	int exit_signal;
	const char *error;
	char message[MAX_MESSAGE_BYTES];
	/* Result fields of a request without data. */
	uint8_t answer[160];
	size_t answer_length;
};

void streams_init(void);
int streams_count(void);

/* Handles a frame of a stream. */
void streams_frame(const struct frame *frame);

/* Records which descriptor became ready. */
void streams_ready(const struct watch_event *event);

/* Moves data of every stream, one frame each; true if anything moved. */
bool streams_pump(struct link *link);

/* Closes all streams: the host has disconnected. */
void streams_end_all(void);

/* A stream's process has exited; `status` as from waitpid(). */
void streams_process_ended(uint32_t id, int status);

/* Frees the slot; a running process gets SIGHUP. */
void stream_release(struct stream *stream);

void stream_close_input(struct stream *stream);
void stream_close_fd(int *fd);

/* Used by the implementations of the kinds; the stream takes ownership of the descriptors. */
bool stream_set_input(struct stream *stream, int fd);
bool stream_set_output(struct stream *stream, enum channel channel, int fd);
void stream_fail(struct stream *stream, const char *error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
