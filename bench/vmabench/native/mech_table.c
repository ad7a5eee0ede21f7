// SPDX-License-Identifier: GPL-2.0-only
/* The table of mechanisms. The order is the one of lists and legends. */
#include <stddef.h>
#include <string.h>

#include "core.h"

extern const struct vmb_mech vmb_mech_clone, vmb_mech_fork, vmb_mech_readv, vmb_mech_writev,
	vmb_mech_readv_holes, vmb_mech_procmem_read, vmb_mech_procmem_write, vmb_mech_uffd_copy,
	vmb_mech_uffd_wp, vmb_mech_pagemap_scan, vmb_mech_pipe, vmb_mech_vmsplice,
	vmb_mech_vmsplice_gift, vmb_mech_socket, vmb_mech_socket_seqpacket, vmb_mech_memfd,
	vmb_mech_memfd_inplace, vmb_mech_memfd_private, vmb_mech_memfd_getfd, vmb_mech_uffd_minor,
	vmb_mech_shm, vmb_mech_sysv, vmb_mech_xpmem, vmb_mech_mremap, vmb_mech_mremap_dup,
	vmb_mech_uffd_move, vmb_mech_memcpy, vmb_mech_rep_movsb, vmb_mech_avx, vmb_mech_nontemporal,
	vmb_mech_null;

const struct vmb_mech *const vmb_mechs[] = {
	&vmb_mech_clone,	 &vmb_mech_fork,	  &vmb_mech_readv,
	&vmb_mech_writev,	 &vmb_mech_readv_holes,	  &vmb_mech_procmem_read,
	&vmb_mech_procmem_write, &vmb_mech_uffd_copy,	  &vmb_mech_uffd_wp,
	&vmb_mech_pagemap_scan,	 &vmb_mech_pipe,	  &vmb_mech_vmsplice,
	&vmb_mech_vmsplice_gift, &vmb_mech_socket,	  &vmb_mech_socket_seqpacket,
	&vmb_mech_memfd,	 &vmb_mech_memfd_inplace, &vmb_mech_memfd_private,
	&vmb_mech_memfd_getfd,	 &vmb_mech_uffd_minor,	  &vmb_mech_shm,
	&vmb_mech_sysv,		 &vmb_mech_xpmem,	  &vmb_mech_mremap,
	&vmb_mech_mremap_dup,	 &vmb_mech_uffd_move,	  &vmb_mech_memcpy,
	&vmb_mech_rep_movsb,	 &vmb_mech_avx,		  &vmb_mech_nontemporal,
	&vmb_mech_null,
};

int vmb_mech_count(void)
{
	return sizeof(vmb_mechs) / sizeof(vmb_mechs[0]);
}

const struct vmb_mech *vmb_mech_at(int index)
{
	return index >= 0 && index < vmb_mech_count() ? vmb_mechs[index] : NULL;
}

const struct vmb_mech *vmb_mech_find(const char *name)
{
	for (int i = 0; i < vmb_mech_count(); i++)
		if (!strcmp(vmb_mechs[i]->name, name))
			return vmb_mechs[i];
	return NULL;
}
