// SPDX-License-Identifier: GPL-2.0-only
/* The receiver's side of the pair: starts the source process and commands it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "relax.h"

#define SLICE_MS	  50 /* how often a waiting receiver looks whether the source lives */
#define FIRST_PATIENCE_MS 4000
#define SPINS		  (1 << 14) /* of a wait for an answer through the relay: under a millisecond */

struct vmb_pair {
	pid_t pid;	/* 0 once it is known to be dead */
	pid_t relay;	/* 0: not started */
	int control_fd; /* for the relay */
	int relayed;	/* commands go through it */
	int death;	/* its wait status then */
	int socket;
	unsigned int patience_ms;
	uint32_t number; /* of the last request */
	char *program;
	int one_cpu; /* both sides have to take turns */
	struct vmb_control *control;
	struct vmb_region source;      /* addr is an address in the source process */
	struct vmb_region destination; /* populated, shared by the transfer cases */
	struct vmb_region local;       /* the source's bytes for the local baselines */
};

struct vmb_request *vmb_pair_request(struct vmb_pair *pair)
{
	return &pair->control->request;
}

const struct vmb_answer *vmb_pair_answer(const struct vmb_pair *pair)
{
	return &pair->control->answer;
}

const struct vmb_region *vmb_pair_source(const struct vmb_pair *pair)
{
	return &pair->source;
}

struct vmb_control *vmb_pair_control(struct vmb_pair *pair)
{
	return pair->control;
}

const char *vmb_pair_program(const struct vmb_pair *pair)
{
	return pair->program;
}

int vmb_pair_on_one_cpu(const struct vmb_pair *pair)
{
	return pair->one_cpu;
}

/* Counts on the two CPUs of the pair. */
int vmb_pair_watch_cpus(const struct vmb_pair *pair)
{
	const struct vmb_request *request = &pair->control->request;
	const int cpus[] = { request->receiver_cpu, request->cpu };

	return vmb_perf_watch(cpus, pair->one_cpu ? 1 : 2);
}

pid_t vmb_pair_pid(const struct vmb_pair *pair)
{
	return pair->pid;
}

/* How long a command may take before the source counts as hung. */
void vmb_pair_set_patience(struct vmb_pair *pair, unsigned int ms)
{
	pair->patience_ms = ms;
}

uint64_t vmb_pair_patience_ns(const struct vmb_pair *pair)
{
	return pair->patience_ms * 1000000ull;
}

/* -ESRCH if the source process is dead, with the sentence how it died, in each call. */
int vmb_pair_check(struct vmb_pair *pair)
{
	int status = pair->death;

	if (pair->pid && waitpid(pair->pid, &status, WNOHANG) != pair->pid)
		return 0;
	pair->pid = 0;
	pair->death = status;
	if (WIFSIGNALED(status))
		return vmb_fail(-ESRCH, "the source process was killed by signal %d (%s)",
				WTERMSIG(status), strsignal(WTERMSIG(status)));
	return vmb_fail(-ESRCH, "the source process ended with status %d", WEXITSTATUS(status));
}

/* The relay answers in microseconds, unless the command is a long one. */
static void spin_for_answer(const struct vmb_pair *pair, uint32_t number)
{
	const uint32_t *answers = &pair->control->answers;

	for (int i = 0; i < SPINS && __atomic_load_n(answers, __ATOMIC_ACQUIRE) != number; i++)
		vmb_relax();
}

static int wait_for_answer(struct vmb_pair *pair, uint32_t number)
{
	uint32_t *answers = &pair->control->answers, seen;
	uint64_t give_up_ns;
	int err;

	if (pair->relayed)
		spin_for_answer(pair, number);
	give_up_ns = vmb_now_ns() + pair->patience_ms * 1000000ull;
	while ((seen = __atomic_load_n(answers, __ATOMIC_ACQUIRE)) != number) {
		vmb_futex_wait(answers, seen, SLICE_MS);
		if (__atomic_load_n(answers, __ATOMIC_ACQUIRE) == number)
			return 0;
		err = vmb_pair_check(pair);
		if (err)
			return err;
		if (vmb_now_ns() > give_up_ns) {
			kill(pair->pid, SIGKILL);
			return vmb_fail(-ETIMEDOUT, "the source process did not answer in %u ms",
					pair->patience_ms);
		}
	}
	return 0;
}

/* The request must be filled in. Each start needs its finish. */
int vmb_pair_start(struct vmb_pair *pair, enum vmb_command command)
{
	struct vmb_control *control = pair->control;
	int err;

	err = vmb_pair_check(pair);
	if (err)
		return err;
	control->request.command = command;
	pair->number = __atomic_add_fetch(&control->requests, 1, __ATOMIC_RELEASE);
	if (!pair->relayed)
		vmb_futex_wake(&control->requests);
	return 0;
}

/* Waits for the command that was started; its result is in the answer. */
int vmb_pair_finish(struct vmb_pair *pair)
{
	struct vmb_control *control = pair->control;
	int err;

	err = wait_for_answer(pair, pair->number);
	if (err)
		return err;
	if (control->answer.err) /* the source's sentence has the reason already */
		vmb_fail(0, "%s", control->answer.detail);
	return control->answer.err;
}

/* The other side has gone, which is not the reason. ECONNRESET: with messages waiting. */
static int hung_up(int err)
{
	return err == -EPIPE || err == -ECONNRESET;
}

/*
 * vmb_pair_finish() where both sides act at once and this side's part has ended
 * with err. Where both failed, the error of the side that did not merely lose the
 * other one is returned.
 */
int vmb_pair_settle(struct vmb_pair *pair, int err)
{
	char reason[VMB_DETAIL_SIZE];
	int source_err;

	memcpy(reason, vmb_detail(), sizeof(reason));
	source_err = vmb_pair_finish(pair);
	if (!err || (hung_up(err) && source_err && !hung_up(source_err)))
		return source_err;
	vmb_fail(0, "%s", reason);
	return err;
}

int vmb_pair_call(struct vmb_pair *pair, enum vmb_command command)
{
	int err = vmb_pair_start(pair, command);

	return err ? err : vmb_pair_finish(pair);
}

uint64_t vmb_pair_started_ns(const struct vmb_pair *pair)
{
	return pair->control->started_ns;
}

/* For the hook setup; the source takes it with vmb_take_channel(). */
int vmb_pair_send_fd(struct vmb_pair *pair, int fd)
{
	return vmb_fd_send(pair->socket, fd);
}

/* The program with the control page, as the source with a socket or as the relay without. */
static int spawn(const struct vmb_pair *pair, int socket_fd, pid_t *ret)
{
	char *const argv[] = { pair->program, socket_fd < 0 ? "relay" : NULL, NULL };
	char *const envp[] = { NULL };
	posix_spawn_file_actions_t actions;
	int err;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pair->control_fd, VMB_CONTROL_FD);
	if (socket_fd >= 0)
		posix_spawn_file_actions_adddup2(&actions, socket_fd, VMB_SOCKET_FD);
	err = posix_spawn(ret, pair->program, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	if (err) {
		*ret = 0;
		return vmb_fail(-err, "starting %s", pair->program);
	}
	return 0;
}

/* Moves fd out of the way of the numbers that the source expects. */
static int raise_fd(int fd)
{
	int raised = fcntl(fd, F_DUPFD_CLOEXEC, VMB_SOCKET_FD + 1);

	close(fd);
	return raised;
}

static int connect_source(struct vmb_pair *pair)
{
	int sockets[2], err;

	pair->control_fd = raise_fd(memfd_create("vmabench-control", MFD_CLOEXEC));
	if (pair->control_fd < 0 || ftruncate(pair->control_fd, sizeof(*pair->control)))
		return vmb_fail(-errno, "making the control page");
	pair->control = mmap(NULL, sizeof(*pair->control), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_POPULATE, pair->control_fd, 0);
	if (pair->control == MAP_FAILED) {
		pair->control = NULL;
		return vmb_fail(-errno, "mapping the control page");
	}
	/* Before the source exists: it may find its parent dead already. */
	pair->control->request.receiver = getpid();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return vmb_fail(-errno, "making the socket pair");
	pair->socket = raise_fd(sockets[0]);
	sockets[1] = raise_fd(sockets[1]);
	err = spawn(pair, sockets[1], &pair->pid);
	close(sockets[1]);
	return err;
}

/* NULL, errno and a detail on failure. Each side pins itself to the CPU it is given. */
struct vmb_pair *vmb_pair_open(const char *program, int source_cpu, int receiver_cpu)
{
	struct vmb_pair *pair = calloc(1, sizeof(*pair));
	int err;

	if (!pair)
		return NULL;
	pair->socket = pair->control_fd = -1;
	pair->source = pair->destination = pair->local = VMB_NO_REGION;
	pair->patience_ms = FIRST_PATIENCE_MS;
	pair->one_cpu = source_cpu == receiver_cpu;
	pair->program = strdup(program);
	err = vmb_pin(receiver_cpu);
	if (!err)
		err = connect_source(pair);
	if (err)
		goto fail;
	/* With Yama's ptrace_scope 1 a process reads its descendants; the source reads its parent. */
	prctl(PR_SET_PTRACER, pair->pid, 0, 0, 0);
	pair->control->request.cpu = source_cpu;
	pair->control->request.receiver_cpu = receiver_cpu;
	pair->control->request.nodes_forbidden = (uint32_t)vmb_nodes_forbidden();
	err = vmb_pair_call(pair, VMB_CMD_START);
	if (!err)
		return pair;
fail:
	vmb_pair_close(pair);
	errno = -err;
	return NULL;
}

/*
 * From now on commands reach the source through the relay, or no longer. Both sides of
 * a pair on one CPU have to take turns, so there is none.
 */
int vmb_pair_relay(struct vmb_pair *pair, int on)
{
	struct vmb_relay *relay = &pair->control->relay;
	int err = 0;

	if (pair->one_cpu || pair->relayed == on)
		return 0;
	if (!pair->relay)
		err = spawn(pair, -1, &pair->relay);
	pair->control->request.relayed = (uint32_t)on;
	if (!err)
		err = vmb_pair_call(pair, VMB_CMD_RELAY);
	if (err && on)
		return err;
	relay->from = pair->number;
	__atomic_add_fetch(&relay->round, 1, __ATOMIC_RELEASE);
	vmb_futex_wake(&relay->round);
	pair->relayed = on;
	return err;
}

/* Ends the source whatever state it is in. */
void vmb_pair_close(struct vmb_pair *pair)
{
	if (!pair)
		return;
	vmb_region_unmap(&pair->destination);
	vmb_region_unmap(&pair->local);
	if (pair->source.fd >= 0)
		close(pair->source.fd);
	if (pair->pid && !vmb_pair_check(pair)) {
		kill(pair->pid, SIGKILL);
		waitpid(pair->pid, NULL, 0);
	}
	if (pair->relay) {
		kill(pair->relay, SIGKILL);
		waitpid(pair->relay, NULL, 0);
	}
	if (pair->socket >= 0)
		close(pair->socket);
	if (pair->control_fd >= 0)
		close(pair->control_fd);
	if (pair->control)
		munmap(pair->control, sizeof(*pair->control));
	free(pair->program);
	free(pair);
}

/*
 * Makes and populates the memory that the cases of this pair transfer: of wanted
 * count memory, page, hugetlb, unadvised and size. The receiver's own memory is
 * advised as the source's is.
 */
int vmb_pair_source_make(struct vmb_pair *pair, const struct vmb_region *wanted,
			 struct vmb_proof *ret)
{
	struct vmb_request *request = &pair->control->request;
	int err;

	request->memory = wanted->memory;
	request->page = wanted->page;
	request->hugetlb = (uint32_t)wanted->hugetlb;
	request->unadvised = (uint32_t)wanted->unadvised;
	request->size = wanted->size;
	vmb_advise(wanted->unadvised);
	err = vmb_pair_call(pair, VMB_CMD_MAP);
	if (err)
		return err;
	pair->source = *wanted;
	pair->source.addr = (char *)(uintptr_t)pair->control->answer.addr;
	pair->source.fd = -1;
	pair->source.remote_fd = pair->control->answer.fd;
	pair->source.shmid = pair->control->answer.shmid;
	*ret = pair->control->answer.proof;
	return vmb_pair_renew_object(pair);
}

/* Takes the shared object of the source that comes with new memory or new data. */
int vmb_pair_renew_object(struct vmb_pair *pair)
{
	if (pair->control->answer.fd < 0)
		return 0;
	if (pair->source.fd >= 0)
		close(pair->source.fd);
	pair->source.fd = -1;
	pair->source.remote_fd = pair->control->answer.fd;
	return vmb_fd_receive(pair->socket, &pair->source.fd);
}

static struct vmb_region *populated(struct vmb_pair *pair, struct vmb_region *region)
{
	struct vmb_region wanted = pair->source;

	if (region->addr)
		return region;
	wanted.memory = VMB_ANON;
	if (vmb_region_map(&wanted, region))
		return NULL;
	vmb_pattern_fill(region->addr, region->size, 0, 0);
	return region;
}

/* Made when the first case needs it; NULL and a detail when that fails. */
struct vmb_region *vmb_pair_destination(struct vmb_pair *pair)
{
	return populated(pair, &pair->destination);
}

struct vmb_region *vmb_pair_local(struct vmb_pair *pair)
{
	return populated(pair, &pair->local);
}

void vmb_pair_drop_destination(struct vmb_pair *pair)
{
	vmb_region_unmap(&pair->destination);
}

void vmb_pair_drop_local(struct vmb_pair *pair)
{
	vmb_region_unmap(&pair->local);
}
