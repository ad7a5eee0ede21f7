/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * process_vm_mmap(): clone one mapping of another process.
 *
 * The only place where the number and the flags stand: the kernel series, the
 * selftests and the benchmark take them from here.
 */
#ifndef _UAPI_LINUX_PROCESS_VM_MMAP_H
#define _UAPI_LINUX_PROCESS_VM_MMAP_H

/*
 * The number on x86-64 until upstream assigns one. No released kernel uses it,
 * so a call with every flag bit set is a safe probe: EINVAL says that the call
 * is there, ENOSYS that it is not.
 */
#ifndef __NR_process_vm_mmap
#define __NR_process_vm_mmap	600
#endif

#define PVMMAP_FIXED			0x1	/* exactly dst_addr, replacing what is there */
#define PVMMAP_FIXED_NOREPLACE		0x2	/* exactly dst_addr, EEXIST if anything is there */
#define PVMMAP_MOVE			0x4	/* unmap the source in the same operation */
#define PVMMAP_PUSH			0x8	/* from the caller into pid */

#endif /* _UAPI_LINUX_PROCESS_VM_MMAP_H */
