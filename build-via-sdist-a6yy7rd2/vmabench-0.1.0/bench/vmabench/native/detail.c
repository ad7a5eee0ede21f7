// SPDX-License-Identifier: GPL-2.0-only
/* The one sentence that goes with the last error of this process. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core.h"

static char detail[VMB_DETAIL_SIZE];

const char *vmb_detail(void)
{
	return detail;
}

/* Keeps "what failed" and adds why; returns err, so that a caller can pass it on. */
int vmb_fail(int err, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	if (err && length >= 0 && (size_t)length < sizeof(detail))
		snprintf(detail + length, sizeof(detail) - (size_t)length, ": %s", strerror(-err));
	return err;
}
