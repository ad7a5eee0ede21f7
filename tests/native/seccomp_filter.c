// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a command under a filter that refuses one system call, as container
 * runtimes do, or kills its caller, as systemd does.
 * Usage: seccomp_filter NUMBER ERRNO|kill COMMAND...
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (argc < 4)
		return 97;
	code[1].k = (unsigned int)atoi(argv[1]);
	code[2].k |= (unsigned int)atoi(argv[2]);
	if (!strcmp(argv[2], "kill"))
		code[2].k = SECCOMP_RET_KILL_PROCESS;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return 98;
	execvp(argv[3], argv + 3);
	return 99;
}
