/*
 * PID 1 of the test guests: loads the modules in /modules/order, opens the agent's virtio-serial
 * port, or listens on its vsock port where there is none, and obeys one-line commands from the host.
 * Whatever it does not know, it sends back. A later stream ends the first.
 *
 *   disks     "NAME SECTORS RO" of each /dev/vd*, one line, ";" between them
 *   cmdline   /proc/cmdline
 *   net       names of the network interfaces
 *   set TEXT  keeps a text in memory; "set"
 *   get       that text
 *   firmware  sum of the bytes of its memory
 *   switch N  turns a static key of the kernel on or off N times while every CPU is busy; "switched N"
 *   poweroff  reboot    after a word to the host, as the agent does it
 *   reset  panic        without one
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULE_INIT_COMPRESSED_FILE 4

static size_t read_text(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY);
  ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
  if (fd >= 0) close(fd);
  if (length < 0) length = 0;
  while (length > 0 && text[length - 1] == '\n') length--;
  text[length] = 0;
  return (size_t)length;
}

static void load_modules(void) {
  static char order[8192];
  read_text("/modules/order", order, sizeof order);
  for (char *file = strtok(order, "\n"); file; file = strtok(NULL, "\n")) {
    char path[300];
    snprintf(path, sizeof path, "/modules/%s", file);
    int fd = open(path, O_RDONLY);
    int flags = strstr(file, ".ko.") ? MODULE_INIT_COMPRESSED_FILE : 0;
    if (syscall(SYS_finit_module, fd, "", flags)) printf("TEST cannot load %s: %m\n", file);
    close(fd);
  }
}

static int open_port(const char *wanted) {
  DIR *folder = opendir("/sys/class/virtio-ports");
  struct dirent *entry;
  int fd = -1;
  while (folder && fd < 0 && (entry = readdir(folder))) {
    char path[400], name[100];
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    read_text(path, name, sizeof name);
    if (strcmp(name, wanted)) continue;
    snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    fd = open(path, O_RDWR);
  }
  if (folder) closedir(folder);
  return fd;
}

static int listen_vsock(void) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = 1024, .svm_cid = VMADDR_CID_ANY};
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4)) {
    close(fd);
    return -1;
  }
  return fd;
}

static int connect_vsock(void) {
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = 1025, .svm_cid = VMADDR_CID_HOST};
  int fd = socket(AF_VSOCK, SOCK_STREAM, 0);
  return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) ? -1 : fd;
}

static void end(const char *word) {
  char line[4096];
  int fd = open_port("org.banger.goodbye");
  if (fd < 0) fd = connect_vsock();
  snprintf(line, sizeof line, "%s\n", word);
  /* The host answers once it has heard it. */
  if (write(fd, line, strlen(line)) < 0 || read(fd, line, 1) < 0) printf("TEST cannot say %s: %m\n", word);
  read_text("/proc/cmdline", line, sizeof line);
  int is_reset = !strcmp(word, "reboot") || strstr(line, "banger.poweroff=reset");
  reboot(is_reset ? RB_AUTOBOOT : RB_POWER_OFF);
}

static void reset(void) {
  int fd = open("/proc/sysrq-trigger", O_WRONLY);
  if (write(fd, "b", 1) != 1) printf("TEST cannot reset: %m\n");
}

static void list(const char *folder_path, const char *prefix, char *out, size_t size) {
  char names[16][32];
  int count = 0;
  DIR *folder = opendir(folder_path);
  struct dirent *entry;
  while (folder && count < 16 && (entry = readdir(folder)))
    if (entry->d_name[0] != '.' && !strncmp(entry->d_name, prefix, strlen(prefix)))
      snprintf(names[count++], 32, "%.31s", entry->d_name);
  if (folder) closedir(folder);
  qsort(names, count, 32, (int (*)(const void *, const void *))strcmp);
  out[0] = 0;
  for (int i = 0; i < count; i++) {
    char path[600], sectors[32] = "", readonly[8] = "";
    snprintf(path, sizeof path, "%s/%s/size", folder_path, names[i]);
    read_text(path, sectors, sizeof sectors);
    snprintf(path, sizeof path, "%s/%s/ro", folder_path, names[i]);
    read_text(path, readonly, sizeof readonly);
    size_t used = strlen(out);
    snprintf(out + used, size - used, "%s%s %s %s", i ? ";" : "", names[i], sectors, readonly);
  }
}

/* The busy ones run the very code of the scheduler that is patched. */
static void switch_static_key(int times, char *out, size_t size) {
  enum { BUSY = 6 };
  pid_t busy[BUSY];
  int switched = 0;
  for (int i = 0; i < BUSY; i++) {
    busy[i] = fork();
    while (busy[i] == 0) sched_yield();
  }
  for (int fd; switched < times; switched++, close(fd)) {
    fd = open("/proc/sys/kernel/sched_schedstats", O_WRONLY);
    if (fd < 0 || write(fd, switched % 2 ? "0" : "1", 1) != 1) break;
  }
  for (int i = 0; i < BUSY; i++) {
    kill(busy[i], SIGKILL);
    waitpid(busy[i], NULL, 0);
  }
  snprintf(out, size, "switched %d", switched);
}

static void add_up_firmware(char *out, size_t size) {
  enum { START = 0xf0000, LENGTH = 0x10000 };
  static unsigned char bytes[LENGTH];
  int fd = open("/dev/mem", O_RDONLY);
  ssize_t length = fd < 0 ? -1 : pread(fd, bytes, LENGTH, START);
  long sum = 0;
  if (fd >= 0) close(fd);
  for (ssize_t i = 0; i < length; i++) sum += bytes[i];
  snprintf(out, size, "%ld", sum);
}

static void obey(int port, char *line) {
  static char answer[8192], kept[64];
  snprintf(answer, sizeof answer - 1, "%s", line);
  if (!strcmp(line, "disks")) list("/sys/block", "vd", answer, sizeof answer - 1);
  if (!strcmp(line, "net")) list("/sys/class/net", "", answer, sizeof answer - 1);
  if (!strcmp(line, "firmware")) add_up_firmware(answer, sizeof answer - 1);
  if (!strcmp(line, "get")) strcpy(answer, kept);
  if (!strncmp(line, "set ", 4)) {
    snprintf(kept, sizeof kept, "%s", line + 4);
    strcpy(answer, "set");
  }
  if (!strcmp(line, "cmdline")) read_text("/proc/cmdline", answer, sizeof answer - 1);
  if (!strncmp(line, "switch ", 7)) switch_static_key(atoi(line + 7), answer, sizeof answer - 1);
  if (!strcmp(line, "poweroff") || !strcmp(line, "reboot")) end(line);
  if (!strcmp(line, "reset")) reset();
  if (!strcmp(line, "panic")) exit(3);
  strcat(answer, "\n");
  if (write(port, answer, strlen(answer)) < 0) printf("TEST cannot write: %m\n");
}

static void greet(int port) {
  if (write(port, "hello\n", 6) != 6) printf("TEST cannot greet: %m\n");
}

int main(void) {
  static char buffer[4096];
  size_t used = 0;
  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  mkdir("/dev", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  int console = open("/dev/console", O_RDWR);
  for (int fd = 0; console >= 0 && fd < 3; fd++) dup2(console, fd);
  setvbuf(stdout, NULL, _IONBF, 0);
  char uptime[100];
  read_text("/proc/uptime", uptime, sizeof uptime);
  printf("TEST init at %s\n", strtok(uptime, " "));
  load_modules();
  int port = -1, listener = -1;
  for (int attempt = 0; port < 0 && listener < 0 && attempt < 500; attempt++, usleep(10000)) {
    port = open_port("org.banger.agent");
    if (port < 0) listener = listen_vsock();
  }
  read_text("/proc/uptime", uptime, sizeof uptime);
  printf("TEST up at %s\n", strtok(uptime, " "));
  if (port >= 0) greet(port);
  while (1) {
    struct pollfd news[2] = {{.fd = listener, .events = POLLIN}, {.fd = port, .events = POLLIN}};
    if (listener >= 0 && poll(news, 2, -1) > 0 && news[0].revents) {
      if (port >= 0) close(port);
      port = accept(listener, NULL, NULL);
      used = 0;
      greet(port);
      continue;
    }
    ssize_t length = read(port, buffer + used, sizeof buffer - 1 - used);
    if (length <= 0 && listener >= 0) {
      close(port);
      port = -1;
      continue;
    }
    if (length <= 0) {
      /* Nobody is connected on the host. */
      usleep(20000);
      continue;
    }
    used += length;
    buffer[used] = 0;
    for (char *end; (end = strchr(buffer, '\n'));) {
      *end = 0;
      obey(port, buffer);
      used -= end + 1 - buffer;
      memmove(buffer, end + 1, used + 1);
    }
    if (used == sizeof buffer - 1) used = 0;
  }
}
