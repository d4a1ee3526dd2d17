#include "boot/managers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "wire/bootrecord.h"

/* Sorts before all other files that match, such as "00-…" and netplan's. */
#define NETWORKD_DIRECTORY "/run/systemd/network"
#define NETWORKD_PATH NETWORKD_DIRECTORY "/0-banger.network"
#define NM_DIRECTORY "/run/NetworkManager/system-connections"
#define NM_PATH NM_DIRECTORY "/banger.nmconnection"
/* dhcpcd reads no configuration from /run. */
#define DHCPCD_PATH "/etc/dhcpcd.conf"
#define BEGIN "# begin banger\n"
#define END "# end banger\n"
#define MAX_FILE_BYTES 65536
#define MAX_DNS 3

/* The network of the boot record as text; missing values are empty. */
static struct {
	char mac[32], address[64], gateway[64], address6[64], gateway6[64], domain[256];
	char dns[MAX_DNS][64];
	unsigned servers;
	unsigned mtu;
} network;

static void add_server(const uint8_t *value, size_t length)
{
	if (network.servers < MAX_DNS && length < sizeof network.dns[0])
		memcpy(network.dns[network.servers++], value, length);
}

static bool read_record(void)
{
	memset(&network, 0, sizeof network);
	boot_record_text(TAG_BOOT_GATEWAY, network.gateway, sizeof network.gateway);
	boot_record_text(TAG_BOOT_ADDRESS6, network.address6, sizeof network.address6);
	boot_record_text(TAG_BOOT_GATEWAY6, network.gateway6, sizeof network.gateway6);
	boot_record_text(TAG_BOOT_SEARCH_DOMAIN, network.domain, sizeof network.domain);
	boot_record_each(TAG_BOOT_DNS, add_server);
	network.mtu = (unsigned)boot_record_number(TAG_BOOT_MTU, 0);
	return boot_record_text(TAG_BOOT_MAC, network.mac, sizeof network.mac) &&
	       boot_record_text(TAG_BOOT_ADDRESS, network.address, sizeof network.address);
}

/* Writes a line "key=value" if there is a value. */
static void line(FILE *out, const char *key, const char *value)
{
	if (value[0])
		fprintf(out, "%s=%s\n", key, value);
}

/* Writes all servers of an address family, each followed by `end`. */
static void servers(FILE *out, bool is_ipv6, const char *end)
{
	for (unsigned i = 0; i < network.servers; i++) {
		if ((strchr(network.dns[i], ':') != NULL) == is_ipv6)
			fprintf(out, "%s%s", network.dns[i], end);
	}
}

static void write_networkd(FILE *out)
{
	fprintf(out, "# Network configuration written by banger.\n[Match]\nMACAddress=%s\n\n[Link]\n", network.mac);
	if (network.mtu)
		fprintf(out, "MTUBytes=%u\n", network.mtu);
	fprintf(out, "\n[Network]\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=ipv6\nAddress=%s\n", network.address);
	line(out, "Address", network.address6);
	for (unsigned i = 0; i < network.servers; i++)
		line(out, "DNS", network.dns[i]);
	line(out, "Domains", network.domain);
	const char *const gateways[] = { network.gateway, network.gateway6 };
	for (unsigned i = 0; i < 2; i++) {
		if (gateways[i][0])
			fprintf(out, "\n[Route]\nGateway=%s\nGatewayOnLink=yes\n", gateways[i]);
	}
}

static void write_nm_family(FILE *out, bool is_ipv6, const char *address, const char *gateway)
{
	fprintf(out, "\n[%s]\n", is_ipv6 ? "ipv6" : "ipv4");
	if (!address[0]) {
		fprintf(out, "method=link-local\n");
		return;
	}
	fprintf(out, "method=manual\naddress1=%s%s%s\ndns=", address, gateway[0] ? "," : "", gateway);
	servers(out, is_ipv6, ";");
	fprintf(out, "\ndns-search=%s;\n", network.domain);
	if (is_ipv6)
		fprintf(out, "addr-gen-mode=eui64\n");
}

static void write_nm(FILE *out)
{
	fprintf(out, "# Network configuration written by banger.\n[connection]\nid=banger\ntype=ethernet\n");
	fprintf(out, "autoconnect-priority=999\n\n[ethernet]\nmac-address=%s\n", network.mac);
	if (network.mtu)
		fprintf(out, "mtu=%u\n", network.mtu);
	write_nm_family(out, false, network.address, network.gateway);
	write_nm_family(out, true, network.address6, network.gateway6);
}

static void write_dhcpcd(FILE *out, const char *interface)
{
	fprintf(out, BEGIN "interface %s\nstatic ip_address=%s\n", interface, network.address);
	if (network.gateway[0])
		fprintf(out, "static routers=%s\n", network.gateway);
	/* dhcpcd leaves IPv6 addresses alone that it has not added. */
	fprintf(out, "noipv6rs\nstatic domain_name_servers=");
	servers(out, false, " ");
	fprintf(out, "\nstatic domain_search=%s\n" END, network.domain);
}

/* Replaces our block at the end of the image's file. */
static void tell_dhcpcd(const char *interface)
{
	static char old[MAX_FILE_BYTES];
	char *text = NULL;
	size_t length = 0;
	ssize_t size = read_file(DHCPCD_PATH, old, sizeof old);
	if (size < 0 || size >= (ssize_t)sizeof old - 1)
		return;
	char *begin = strstr(old, BEGIN), *end = begin ? strstr(begin, END) : NULL;
	if (end)
		memmove(begin, end + strlen(END), strlen(end + strlen(END)) + 1);
	FILE *out = open_memstream(&text, &length);
	if (!out)
		return;
	fputs(old, out);
	if (old[0] && old[strlen(old) - 1] != '\n')
		fputc('\n', out);
	write_dhcpcd(out, interface);
	fclose(out);
	if (!replace_file(DHCPCD_PATH, text, length, 0644))
		say("Cannot write \"%s\": %s", DHCPCD_PATH, strerror(errno));
	free(text);
}

static void put(const char *path, mode_t mode, void (*write)(FILE *out))
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	if (!out)
		return;
	write(out);
	fclose(out);
	if (!replace_file(path, text, length, mode))
		say("Cannot write \"%s\": %s", path, strerror(errno));
	free(text);
}

void managers_configure(const char *interface)
{
	char mode[16] = "";
	boot_record_text(TAG_BOOT_MODE, mode, sizeof mode);
	if (strcmp(mode, "systemd") != 0 || !read_record())
		return;
	make_dirs(NETWORKD_DIRECTORY, 0755);
	make_dirs(NM_DIRECTORY, 0755);
	put(NETWORKD_PATH, 0644, write_networkd);
	/* NetworkManager ignores files that others can read. */
	put(NM_PATH, 0600, write_nm);
	tell_dhcpcd(interface);
}
