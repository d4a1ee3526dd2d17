/* Runs the XDP filter of guest/boot/xdpfilter.c on frames: one in hexadecimal on each line of stdin, "pass" or "drop" for each. */
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "boot/xdpfilter.h"

int main(void)
{
	char line[4096];
	int program = xdp_filter_load();
	if (program < 0) {
		perror("Cannot load the filter");
		return 1;
	}
	while (fgets(line, sizeof line, stdin)) {
		uint8_t frame[2048], result[4096];
		uint32_t length = 0;
		unsigned byte;
		while (sscanf(line + 2 * length, "%2x", &byte) == 1)
			frame[length++] = (uint8_t)byte;
		union bpf_attr attr;
		memset(&attr, 0, sizeof attr);
		attr.test.prog_fd = (uint32_t)program;
		attr.test.data_in = (uintptr_t)frame;
		attr.test.data_size_in = length;
		attr.test.data_out = (uintptr_t)result;
		attr.test.data_size_out = sizeof result;
		attr.test.repeat = 1;
		if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr) < 0) {
			perror("Cannot run the filter");
			return 1;
		}
		puts(attr.test.retval == XDP_DROP ? "drop" : "pass");
	}
	return 0;
}
