#include "boot/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/device.h"
#include "base/io.h"
#include "boot/managers.h"
#include "boot/xdpfilter.h"
#include "wire/bootrecord.h"

#define INTERFACE_WAIT_MS 10000
#define NET_DIRECTORY "/sys/class/net"

/* A netlink request: header, fixed part, attributes. */
struct request {
	struct nlmsghdr header;
	uint8_t body[256];
};

static void begin(struct request *request, uint16_t type, uint16_t flags, const void *fixed, size_t length)
{
	memset(request, 0, sizeof *request);
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(length);
	memcpy(request->body, fixed, length);
}

static void attach(struct request *request, uint16_t type, const void *value, size_t length)
{
	struct rtattr *attribute = (struct rtattr *)((uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len));
	attribute->rta_type = type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(length);
	memcpy(RTA_DATA(attribute), value, length);
	request->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

/* Sends the request; false with errno if the kernel rejects it. */
static bool submit(int fd, struct request *request)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		uint8_t rest[512];
	} answer;
	if (send(fd, request, request->header.nlmsg_len, 0) < 0)
		return false;
	ssize_t count = recv(fd, &answer, sizeof answer, 0);
	if (count < (ssize_t)NLMSG_LENGTH(sizeof answer.error) || answer.header.nlmsg_type != NLMSG_ERROR) {
		errno = EPROTO;
		return false;
	}
	errno = -answer.error.error;
	return errno == 0 || errno == EEXIST;
}

static bool set_link(int fd, unsigned index, unsigned flags, unsigned mtu)
{
	struct request request;
	struct ifinfomsg link = { .ifi_index = (int)index, .ifi_flags = flags, .ifi_change = IFF_UP };
	begin(&request, RTM_NEWLINK, 0, &link, sizeof link);
	if (mtu)
		attach(&request, IFLA_MTU, &mtu, sizeof mtu);
	return submit(fd, &request);
}

/* Generic XDP works with every driver. */
static bool filter_flagless(int fd, unsigned index)
{
	struct request request;
	struct ifinfomsg link = { .ifi_index = (int)index };
	struct {
		struct rtattr program_header;
		int32_t program;
		struct rtattr flags_header;
		uint32_t flags;
	} xdp = {
		.program_header = { .rta_len = RTA_LENGTH(sizeof xdp.program), .rta_type = IFLA_XDP_FD },
		.program = xdp_filter_load(),
		.flags_header = { .rta_len = RTA_LENGTH(sizeof xdp.flags), .rta_type = IFLA_XDP_FLAGS },
		.flags = XDP_FLAGS_SKB_MODE,
	};
	if (xdp.program < 0)
		return false;
	begin(&request, RTM_SETLINK, 0, &link, sizeof link);
	attach(&request, IFLA_XDP | NLA_F_NESTED, &xdp, sizeof xdp);
	bool is_done = submit(fd, &request);
	close(xdp.program);
	return is_done;
}

static int parse_address(const char *text, uint8_t *bytes, size_t *length)
{
	*length = 4;
	if (inet_pton(AF_INET, text, bytes) == 1)
		return AF_INET;
	*length = 16;
	return inet_pton(AF_INET6, text, bytes) == 1 ? AF_INET6 : -1;
}

/* `type` adds or deletes; `cidr` is "address/prefix". */
static bool change_address(int fd, uint16_t type, unsigned index, const char *text)
{
	struct request request;
	uint8_t bytes[16];
	size_t length;
	char cidr[64];
	snprintf(cidr, sizeof cidr, "%s", text);
	char *slash = strchr(cidr, '/');
	if (!slash)
		return false;
	*slash = 0;
	int family = parse_address(cidr, bytes, &length);
	struct ifaddrmsg address = {
		.ifa_family = (uint8_t)family,
		.ifa_prefixlen = (uint8_t)atoi(slash + 1),
		.ifa_index = index,
		.ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
	};
	errno = EINVAL;
	if (family < 0)
		return false;
	begin(&request, type, NLM_F_CREATE | NLM_F_REPLACE, &address, sizeof address);
	attach(&request, IFA_LOCAL, bytes, length);
	attach(&request, IFA_ADDRESS, bytes, length);
	if (family == AF_INET && address.ifa_prefixlen < 31) {
		uint32_t broadcast;
		memcpy(&broadcast, bytes, sizeof broadcast);
		broadcast |= htonl(0xffffffffU >> address.ifa_prefixlen);
		attach(&request, IFA_BROADCAST, &broadcast, sizeof broadcast);
	}
	return submit(fd, &request);
}

/* Adds the default route. `onlink` allows a gateway outside of the VM's own prefix. */
static bool add_gateway(int fd, unsigned index, const char *gateway)
{
	struct request request;
	uint8_t bytes[16];
	size_t length;
	int family = parse_address(gateway, bytes, &length);
	struct rtmsg route = {
		.rtm_family = (uint8_t)family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = RTNH_F_ONLINK,
	};
	errno = EINVAL;
	if (family < 0)
		return false;
	begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route, sizeof route);
	attach(&request, RTA_GATEWAY, bytes, length);
	attach(&request, RTA_OIF, &index, sizeof index);
	return submit(fd, &request);
}

/* The index of the interface with this MAC address, 0 if there is none. */
static unsigned find_interface(const char *mac)
{
	char path[128], address[64];
	unsigned found = 0;
	struct if_nameindex *all = if_nameindex();
	for (struct if_nameindex *one = all; one && one->if_index && !found; one++) {
		format_path(path, sizeof path, NET_DIRECTORY "/%s/address", one->if_name);
		if (read_file(path, address, sizeof address) <= 0)
			continue;
		address[strcspn(address, "\n")] = 0;
		if (strcasecmp(address, mac) == 0)
			found = one->if_index;
	}
	if (all)
		if_freenameindex(all);
	return found;
}

static unsigned wait_for_interface(const char *mac)
{
	unsigned index = find_interface(mac);
	uint64_t until = uptime_ms() + INTERFACE_WAIT_MS;
	while (!index && uptime_ms() < until) {
		device_wait(NET_DIRECTORY "/eth0", 200);
		usleep(10000);
		index = find_interface(mac);
	}
	return index;
}

static void configure_family(int fd, unsigned index, uint16_t address_tag, uint16_t gateway_tag)
{
	char text[64];
	if (boot_record_text(address_tag, text, sizeof text) && !change_address(fd, RTM_NEWADDR, index, text))
		say("Cannot set the address \"%s\": %s", text, strerror(errno));
	if (boot_record_text(gateway_tag, text, sizeof text) && !add_gateway(fd, index, text))
		say("Cannot set the gateway \"%s\": %s", text, strerror(errno));
}

static void configure_interface(int fd, const char *mac)
{
	unsigned index = wait_for_interface(mac);
	if (!index) {
		say("Network interface with address %s not found", mac);
		return;
	}
	if (!set_link(fd, index, IFF_UP, (unsigned)boot_record_number(TAG_BOOT_MTU, 0)))
		say("Cannot bring up the network interface: %s", strerror(errno));
	if (boot_record_number(TAG_BOOT_IS_USER_NETWORK, 0) && !filter_flagless(fd, index))
		say("Cannot load the filter for TCP segments without flags: %s", strerror(errno));
	configure_family(fd, index, TAG_BOOT_ADDRESS, TAG_BOOT_GATEWAY);
	configure_family(fd, index, TAG_BOOT_ADDRESS6, TAG_BOOT_GATEWAY6);
	char name[IF_NAMESIZE];
	if (if_indextoname(index, name))
		managers_configure(name);
}

static bool set_mac(int fd, unsigned index, const char *mac)
{
	struct request request;
	struct ifinfomsg link = { .ifi_index = (int)index };
	uint8_t bytes[6];
	errno = EINVAL;
	for (size_t i = 0; i < sizeof bytes; i++) {
		char *end;
		bytes[i] = (uint8_t)strtoul(mac, &end, 16);
		if (end != mac + 2 || *end != (i + 1 < sizeof bytes ? ':' : 0))
			return false;
		mac = end + 1;
	}
	begin(&request, RTM_NEWLINK, 0, &link, sizeof link);
	attach(&request, IFLA_ADDRESS, bytes, sizeof bytes);
	return submit(fd, &request);
}

/* The first two texts are addresses. */
static const uint16_t text_tags[] = { TAG_BOOT_ADDRESS, TAG_BOOT_ADDRESS6, TAG_BOOT_GATEWAY, TAG_BOOT_GATEWAY6 };

void network_identify(struct network_identity *identity)
{
	memset(identity, 0, sizeof *identity);
	for (size_t i = 0; i < sizeof text_tags / sizeof *text_tags; i++)
		boot_record_text(text_tags[i], identity->texts[i], sizeof identity->texts[i]);
	if (!boot_record_text(TAG_BOOT_MAC, identity->mac, sizeof identity->mac))
		boot_record_text(TAG_BOOT_TEMPLATE, identity->mac, sizeof identity->mac);
}

/* The link is set down for a new MAC, which drops the addresses and neighbors that follow from the old one. */
static void change_interface(int fd, unsigned index, const struct network_identity *old, const struct network_identity *now)
{
	for (size_t i = 0; i < 2; i++) {
		if (old->texts[i][0] && strcmp(old->texts[i], now->texts[i]) != 0 &&
		    !change_address(fd, RTM_DELADDR, index, old->texts[i]) && errno != EADDRNOTAVAIL)
			say("Cannot remove the address \"%s\": %s", old->texts[i], strerror(errno));
	}
	if (strcasecmp(old->mac, now->mac) != 0 &&
	    (!set_link(fd, index, 0, 0) || !set_mac(fd, index, now->mac)))
		say("Cannot set the address of the network interface: %s", strerror(errno));
}

void network_take_over(const struct network_identity *old)
{
	struct network_identity now;
	network_identify(&now);
	/* Without a network there is lo, which the boot has brought up. */
	if (!now.mac[0] || memcmp(&now, old, sizeof now) == 0)
		return;
	unsigned index = find_interface(old->mac);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (index)
		change_interface(fd, index, old, &now);
	if (fd >= 0)
		close(fd);
	network_configure();
}

void network_configure(void)
{
	char mac[32];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	unsigned loopback = if_nametoindex("lo");
	if (fd < 0) {
		say("Cannot configure the network: %s", strerror(errno));
		return;
	}
	if (!set_link(fd, loopback, IFF_UP, 0))
		say("Cannot bring up lo: %s", strerror(errno));
	if (boot_record_text(TAG_BOOT_MAC, mac, sizeof mac))
		configure_interface(fd, mac);
	close(fd);
}
