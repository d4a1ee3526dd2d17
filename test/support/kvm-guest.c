/*
 * Runs a guest of a few instructions with KVM: it adds the two numbers that it finds in its registers, writes the sum to
 * a port, and halts. Prints "API VERSION: SUM, halted".
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define START 0x1000
#define PAGE 4096
#define PORT 0x99

static int check(int result, const char *what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

int main(void) {
  /* In real mode: add %bx, %ax; out %al, $PORT; hlt */
  static const unsigned char code[] = {0x01, 0xd8, 0xe6, PORT, 0xf4};
  int kvm = check(open("/dev/kvm", O_RDWR), "/dev/kvm");
  int version = check(ioctl(kvm, KVM_GET_API_VERSION, 0), "KVM_GET_API_VERSION");
  int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  unsigned char *memory =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memcpy(memory, code, sizeof code);
  struct kvm_userspace_memory_region region = {
      .guest_phys_addr = START, .memory_size = PAGE, .userspace_addr = (unsigned long)memory};
  check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  int cpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  int size = check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  struct kvm_run *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
  struct kvm_sregs sregs;
  check(ioctl(cpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  check(ioctl(cpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
  struct kvm_regs regs = {.rip = START, .rax = 40, .rbx = 2, .rflags = 2};
  check(ioctl(cpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
  int sum = -1;
  for (;;) {
    check(ioctl(cpu, KVM_RUN, 0), "KVM_RUN");
    if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT) break;
    sum = *((unsigned char *)run + run->io.data_offset);
  }
  if (run->exit_reason != KVM_EXIT_HLT) {
    printf("the guest ended for reason %u\n", run->exit_reason);
    return 1;
  }
  printf("%d: %d, halted\n", version, sum);
  return 0;
}
