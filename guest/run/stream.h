/*
 * The streams that the host has open: a table of fixed size, credit in both directions, and the
 * moving of bytes between the link and the descriptors of a stream. What a stream is for (a process,
 * a socket) is known to exec.c and connect.c only.
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
/* How much of the host's data is held for a stream: the credit that it begins with. */
#define STREAM_WINDOW_BYTES (256 * 1024)
#define MAX_MESSAGE_BYTES 200

struct stream_output {
	int fd;
	bool readable;
	/* Its end is still to be told. */
	bool eof_due;
};

struct stream {
	/* 0: this place is free. */
	uint32_t id;
	uint8_t slot;
	uint8_t kind;
	bool is_terminal;
	/* Connect: the socket is not connected yet. */
	bool connecting;
	/* The answer to open is still to be sent. */
	bool opened_due;
	/* Exec: the process; 0 once it is reaped. The host is told of it all the same. */
	pid_t pid;
	pid_t pid_told;

	/* What the host may be sent, and what it may send. */
	uint64_t send_credit;
	uint32_t receive_credit;
	/* Taken in and not yet granted again. */
	uint32_t owed;

	struct stream_output out[CHANNELS];

	int in_fd;
	bool in_writable;
	/* The host has sent its eof. */
	bool in_ended;
	/* The host is still to be told that its data is not wanted. */
	bool in_refused_due;
	size_t ring_start;
	size_t ring_length;

	/* The result is known; close follows when the output is drained. */
	bool finished;
	int exit_code;
	int exit_signal;
	const char *error;
	char message[MAX_MESSAGE_BYTES];
	/* Fields of the answer to a request without data. */
	uint8_t answer[160];
	size_t answer_length;
};

void streams_init(void);
int streams_count(void);

/* Takes a frame that belongs to a stream. */
void streams_frame(const struct frame *frame);

/* Notes what became ready. */
void streams_ready(const struct watch_event *event);

/* Moves what can be moved, one frame for each stream; true if anything moved. */
bool streams_pump(struct link *link);

/* Hangs up everything: the host is gone. */
void streams_end_all(void);

/* A process of a stream has ended; `status` as of waitpid. */
void streams_process_ended(uint32_t id, int status);

/* Frees the place in the table; what runs is hung up. */
void stream_release(struct stream *stream);

void stream_close_input(struct stream *stream);
void stream_close_fd(int *fd);

/* For the owners of a kind. They give their descriptors away. */
bool stream_set_input(struct stream *stream, int fd);
bool stream_set_output(struct stream *stream, enum channel channel, int fd);
void stream_fail(struct stream *stream, const char *error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
