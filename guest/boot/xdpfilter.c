#include "boot/xdpfilter.h"

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Offsets in a frame: Ethernet, an IPv4 header without options, TCP. */
#define ETHERTYPE_AT 12
#define VERSION_AT 14
#define FRAGMENT_AT 20
#define PROTOCOL_AT 23
#define FLAGS_AT 47
#define SHORTEST 54

/* Values in network byte order, as loaded by a little-endian CPU. */
#define ETHERTYPE_IPV4 0x0008
#define FRAGMENT_MASK 0xff1f
#define VERSION_AND_LENGTH 0x45
#define PROTOCOL_TCP 6
#define FIN_SYN_RST_ACK 0x17

#define INSN(c, d, s, o, i) ((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })
#define LOAD(size, to, from, at) INSN(BPF_LDX | BPF_MEM | (size), to, from, at, 0)
#define SET(to, value) INSN(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value)
#define COPY(to, from) INSN(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0)
#define ADD(to, value) INSN(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value)
#define AND(to, value) INSN(BPF_ALU64 | BPF_AND | BPF_K, to, 0, 0, value)
#define SKIP_UNLESS(reg, value, count) INSN(BPF_JMP | BPF_JNE | BPF_K, reg, 0, count, value)
#define SKIP_IF_GREATER(reg, than, count) INSN(BPF_JMP | BPF_JGT | BPF_X, reg, than, count, 0)
#define END INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

int xdp_filter_load(void)
{
	const struct bpf_insn program[] = {
		LOAD(BPF_W, 2, 1, offsetof(struct xdp_md, data)),
		LOAD(BPF_W, 3, 1, offsetof(struct xdp_md, data_end)),
		SET(0, XDP_PASS),
		COPY(4, 2),
		ADD(4, SHORTEST),
		SKIP_IF_GREATER(4, 3, 13),
		LOAD(BPF_H, 4, 2, ETHERTYPE_AT),
		SKIP_UNLESS(4, ETHERTYPE_IPV4, 11),
		LOAD(BPF_B, 4, 2, VERSION_AT),
		SKIP_UNLESS(4, VERSION_AND_LENGTH, 9),
		LOAD(BPF_H, 4, 2, FRAGMENT_AT),
		AND(4, FRAGMENT_MASK),
		SKIP_UNLESS(4, 0, 6),
		LOAD(BPF_B, 4, 2, PROTOCOL_AT),
		SKIP_UNLESS(4, PROTOCOL_TCP, 4),
		LOAD(BPF_B, 4, 2, FLAGS_AT),
		AND(4, FIN_SYN_RST_ACK),
		SKIP_UNLESS(4, 0, 1),
		SET(0, XDP_DROP),
		END,
	};
	union bpf_attr load;
	memset(&load, 0, sizeof load);
	load.prog_type = BPF_PROG_TYPE_XDP;
	load.insns = (uintptr_t)program;
	load.insn_cnt = sizeof program / sizeof *program;
	load.license = (uintptr_t) "Apache-2.0";
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
}
