	.file	"scene_contention.c"
	.text
.Ltext0:
	.file 0 "/work/wt/package/build-via-sdist-a6yy7rd2/vmabench-0.1.0" "bench/vmabench/native/scene_contention.c"
	.p2align 4
	.type	add_proof, @function
add_proof:
.LVL0:
.LFB37:
	.file 1 "bench/vmabench/native/scene_contention.c"
	.loc 1 421 1 view -0
	.cfi_startproc
	.loc 1 422 2 view .LVU1
	.loc 1 424 18 is_stmt 0 view .LVU2
	movq	(%rdi), %rax
	.loc 1 422 18 view .LVU3
	movq	(%rsi), %rcx
.LVL1:
	.loc 1 424 2 is_stmt 1 view .LVU4
	.loc 1 424 18 is_stmt 0 view .LVU5
	addq	%rcx, %rax
	movq	%rax, (%rsi)
	.loc 1 425 2 is_stmt 1 view .LVU6
	.loc 1 425 21 is_stmt 0 view .LVU7
	movq	8(%rdi), %rax
	addq	%rax, 8(%rsi)
	.loc 1 426 2 is_stmt 1 view .LVU8
	.loc 1 426 18 is_stmt 0 view .LVU9
	movq	16(%rdi), %rax
	addq	%rax, 16(%rsi)
	.loc 1 427 2 is_stmt 1 view .LVU10
.LBB28:
	.loc 1 427 7 view .LVU11
.LVL2:
	.loc 1 427 20 view .LVU12
.LBE28:
	.loc 1 426 18 is_stmt 0 view .LVU13
	movl	$24, %eax
.LVL3:
	.p2align 4,,10
	.p2align 3
.L2:
.LBB29:
	.loc 1 428 3 is_stmt 1 discriminator 3 view .LVU14
	.loc 1 428 23 is_stmt 0 discriminator 3 view .LVU15
	movq	(%rdi,%rax), %rdx
	addq	%rdx, (%rsi,%rax)
	.loc 1 427 38 is_stmt 1 discriminator 3 view .LVU16
.LVL4:
	.loc 1 427 20 discriminator 3 view .LVU17
	addq	$8, %rax
.LVL5:
	.loc 1 427 20 is_stmt 0 discriminator 3 view .LVU18
	cmpq	$176, %rax
	jne	.L2
.LBE29:
	.loc 1 429 2 is_stmt 1 view .LVU19
	.loc 1 429 21 is_stmt 0 view .LVU20
	movq	176(%rdi), %rax
.LVL6:
	.loc 1 429 21 view .LVU21
	addq	%rax, 176(%rsi)
	.loc 1 430 2 is_stmt 1 view .LVU22
	.loc 1 430 21 is_stmt 0 view .LVU23
	movq	184(%rdi), %rax
	addq	%rax, 184(%rsi)
	.loc 1 431 2 is_stmt 1 view .LVU24
	.loc 1 431 25 is_stmt 0 view .LVU25
	movl	192(%rdi), %eax
	.loc 1 431 40 view .LVU26
	testl	%eax, %eax
	je	.L3
	movl	$1, %eax
	.loc 1 431 40 discriminator 1 view .LVU27
	testq	%rcx, %rcx
	jne	.L11
.L3:
	.loc 1 431 20 discriminator 8 view .LVU28
	movl	%eax, 192(%rsi)
	.loc 1 432 2 is_stmt 1 discriminator 8 view .LVU29
	.loc 1 432 12 is_stmt 0 discriminator 8 view .LVU30
	movl	196(%rdi), %eax
	addl	%eax, 196(%rsi)
	.loc 1 433 1 discriminator 8 view .LVU31
	ret
	.p2align 4,,10
	.p2align 3
.L11:
	.loc 1 431 50 discriminator 4 view .LVU32
	movl	192(%rsi), %edx
	xorl	%eax, %eax
	testl	%edx, %edx
	setne	%al
	jmp	.L3
	.cfi_endproc
.LFE37:
	.size	add_proof, .-add_proof
	.p2align 4
	.type	contention_close, @function
contention_close:
.LVL7:
.LFB32:
	.loc 1 328 1 is_stmt 1 view -0
	.cfi_startproc
	.loc 1 329 2 view .LVU34
	.loc 1 328 1 is_stmt 0 view .LVU35
	pushq	%r13
	.cfi_def_cfa_offset 16
	.cfi_offset 13, -16
	pushq	%r12
	.cfi_def_cfa_offset 24
	.cfi_offset 12, -24
	pushq	%rbp
	.cfi_def_cfa_offset 32
	.cfi_offset 6, -32
	pushq	%rbx
	.cfi_def_cfa_offset 40
	.cfi_offset 3, -40
	subq	$8, %rsp
	.cfi_def_cfa_offset 48
	.loc 1 329 10 view .LVU36
	movq	296(%rdi), %r12
	.loc 1 329 5 view .LVU37
	testq	%r12, %r12
	je	.L12
.LBB33:
.LBB34:
.LBB35:
	.loc 1 225 25 view .LVU38
	movl	(%r12), %eax
	movq	%rdi, %r13
.LVL8:
	.loc 1 225 25 is_stmt 1 view .LVU39
	testl	%eax, %eax
	je	.L14
	.loc 1 225 16 is_stmt 0 view .LVU40
	xorl	%ebp, %ebp
.LVL9:
	.p2align 4,,10
	.p2align 3
.L16:
	.loc 1 226 3 is_stmt 1 view .LVU41
	.loc 1 226 23 is_stmt 0 view .LVU42
	movl	%ebp, %ebx
	imulq	$808, %rbx, %rbx
	addq	%r12, %rbx
	movl	40(%rbx), %edi
	.loc 1 226 6 view .LVU43
	testl	%edi, %edi
	jle	.L15
	.loc 1 228 3 is_stmt 1 view .LVU44
	movl	$9, %esi
	call	kill@PLT
.LVL10:
	.loc 1 229 3 view .LVU45
	movl	40(%rbx), %edi
	xorl	%edx, %edx
	xorl	%esi, %esi
	call	waitpid@PLT
.LVL11:
.L15:
	.loc 1 225 44 view .LVU46
	addl	$1, %ebp
.LVL12:
	.loc 1 225 25 view .LVU47
	cmpl	(%r12), %ebp
	jb	.L16
.LVL13:
.L14:
	.loc 1 225 25 is_stmt 0 view .LVU48
.LBE35:
	.loc 1 231 2 is_stmt 1 view .LVU49
	movq	%r12, %rdi
	movl	$51752, %esi
	call	munmap@PLT
.LVL14:
.LBE34:
.LBE33:
	.loc 1 332 2 view .LVU50
	.loc 1 333 2 is_stmt 0 view .LVU51
	movq	80(%r13), %rdi
	.loc 1 332 13 view .LVU52
	movq	$0, 296(%r13)
	.loc 1 333 2 is_stmt 1 view .LVU53
	.loc 1 334 1 is_stmt 0 view .LVU54
	addq	$8, %rsp
	.cfi_remember_state
	.cfi_def_cfa_offset 40
	popq	%rbx
	.cfi_def_cfa_offset 32
	popq	%rbp
	.cfi_def_cfa_offset 24
	popq	%r12
	.cfi_def_cfa_offset 16
	popq	%r13
	.cfi_def_cfa_offset 8
.LVL15:
	.loc 1 333 2 view .LVU55
	jmp	vmb_pair_watch_cpus@PLT
.LVL16:
	.p2align 4,,10
	.p2align 3
.L12:
	.cfi_restore_state
	.loc 1 334 1 view .LVU56
	addq	$8, %rsp
	.cfi_def_cfa_offset 40
	popq	%rbx
	.cfi_def_cfa_offset 32
	popq	%rbp
	.cfi_def_cfa_offset 24
	popq	%r12
	.cfi_def_cfa_offset 16
	popq	%r13
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
.LFE32:
	.size	contention_close, .-contention_close
	.p2align 4
	.type	meet, @function
meet:
.LVL17:
.LFB16:
	.loc 1 70 1 is_stmt 1 view -0
	.cfi_startproc
	.loc 1 71 2 view .LVU58
	.loc 1 70 1 is_stmt 0 view .LVU59
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset 6, -16
	.loc 1 71 18 view .LVU60
	movl	$1, %eax
	.loc 1 71 37 view .LVU61
	leaq	12(%rdi), %rbp
	.loc 1 70 1 view .LVU62
	pushq	%rbx
	.cfi_def_cfa_offset 24
	.cfi_offset 3, -24
	subq	$8, %rsp
	.cfi_def_cfa_offset 32
	.loc 1 71 18 view .LVU63
	lock xaddl	%eax, 0(%rbp)
.LVL18:
	.loc 1 72 2 is_stmt 1 view .LVU64
	.loc 1 72 11 is_stmt 0 view .LVU65
	xorl	%edx, %edx
	.loc 1 72 30 view .LVU66
	movl	(%rdi), %ecx
	.loc 1 72 40 view .LVU67
	leal	(%rcx,%rax), %ebx
	.loc 1 72 11 view .LVU68
	movl	%ebx, %eax
.LVL19:
	.loc 1 72 11 view .LVU69
	divl	%ecx
	subl	%edx, %ebx
.LVL20:
	.loc 1 74 2 is_stmt 1 view .LVU70
	.loc 1 74 8 is_stmt 0 view .LVU71
	jmp	.L20
.LVL21:
	.p2align 4,,10
	.p2align 3
.L21:
	.loc 1 75 3 is_stmt 1 view .LVU72
	call	sched_yield@PLT
.LVL22:
.L20:
	.loc 1 74 60 view .LVU73
	.loc 1 74 9 is_stmt 0 view .LVU74
	movl	0(%rbp), %edx
	.loc 1 74 60 view .LVU75
	cmpl	%ebx, %edx
	jb	.L21
	.loc 1 76 1 view .LVU76
	addq	$8, %rsp
	.cfi_def_cfa_offset 24
	popq	%rbx
	.cfi_def_cfa_offset 16
.LVL23:
	.loc 1 76 1 view .LVU77
	popq	%rbp
	.cfi_def_cfa_offset 8
.LVL24:
	.loc 1 76 1 view .LVU78
	ret
	.cfi_endproc
.LFE16:
	.size	meet, .-meet
	.section	.rodata.str1.1,"aMS",@progbits,1
.LC0:
	.string	"at most %d receivers"
	.section	.rodata.str1.8,"aMS",@progbits,1
	.align 8
.LC1:
	.string	"%s has no receivers that pull from one source"
	.text
	.p2align 4
	.type	contention_open, @function
contention_open:
.LVL25:
.LFB33:
	.loc 1 337 1 is_stmt 1 view -0
	.cfi_startproc
	.loc 1 338 2 view .LVU80
	.loc 1 340 2 view .LVU81
	.loc 1 340 12 is_stmt 0 view .LVU82
	movl	44(%rdi), %eax
	.loc 1 340 5 view .LVU83
	cmpl	$64, %eax
	ja	.L24
	.loc 1 340 54 discriminator 1 view .LVU84
	movl	48(%rdi), %edx
	.loc 1 340 45 discriminator 1 view .LVU85
	cmpl	$64, %edx
	ja	.L24
	.loc 1 342 2 is_stmt 1 view .LVU86
	.loc 1 342 5 is_stmt 0 view .LVU87
	cmpl	$1, %eax
	jbe	.L23
.LBB44:
.LBB45:
	.loc 1 58 39 discriminator 1 view .LVU88
	movq	(%rdi), %rax
.LBE45:
.LBE44:
	.loc 1 342 28 discriminator 1 view .LVU89
	cmpl	$1, %edx
	ja	.L27
.LVL26:
.LBB47:
.LBI44:
	.loc 1 54 5 is_stmt 1 view .LVU90
.LBB46:
	.loc 1 56 2 view .LVU91
	.loc 1 58 2 view .LVU92
	.loc 1 58 31 is_stmt 0 view .LVU93
	testb	$25, 16(%rax)
	jne	.L27
.LVL27:
.L23:
	.loc 1 58 31 view .LVU94
.LBE46:
.LBE47:
	.loc 1 346 1 view .LVU95
	xorl	%eax, %eax
	ret
	.p2align 4,,10
	.p2align 3
.L24:
	.loc 1 341 3 is_stmt 1 view .LVU96
	.loc 1 341 10 is_stmt 0 view .LVU97
	movl	$64, %edx
	leaq	.LC0(%rip), %rsi
	movl	$-22, %edi
.LVL28:
	.loc 1 341 10 view .LVU98
	xorl	%eax, %eax
	jmp	vmb_fail@PLT
.LVL29:
	.p2align 4,,10
	.p2align 3
.L27:
.LBB48:
.LBI48:
	.loc 1 336 12 is_stmt 1 view .LVU99
.LBB49:
	.loc 1 343 3 view .LVU100
	.loc 1 343 10 is_stmt 0 view .LVU101
	movq	(%rax), %rdx
	leaq	.LC1(%rip), %rsi
	movl	$-95, %edi
.LVL30:
	.loc 1 343 10 view .LVU102
	xorl	%eax, %eax
	jmp	vmb_fail@PLT
.LVL31:
.LBE49:
.LBE48:
	.cfi_endproc
.LFE33:
	.size	contention_open, .-contention_open
	.p2align 4
	.type	prepare_member, @function
prepare_member:
.LVL32:
.LFB20:
	.loc 1 112 1 is_stmt 1 view -0
	.cfi_startproc
	.loc 1 113 2 view .LVU104
	.loc 1 112 1 is_stmt 0 view .LVU105
	pushq	%r15
	.cfi_def_cfa_offset 16
	.cfi_offset 15, -16
	pushq	%r14
	.cfi_def_cfa_offset 24
	.cfi_offset 14, -24
	pushq	%r13
	.cfi_def_cfa_offset 32
	.cfi_offset 13, -32
	movq	%rdx, %r13
	pushq	%r12
	.cfi_def_cfa_offset 40
	.cfi_offset 12, -40
	pushq	%rbp
	.cfi_def_cfa_offset 48
	.cfi_offset 6, -48
	movl	%esi, %ebp
	pushq	%rbx
	.cfi_def_cfa_offset 56
	.cfi_offset 3, -56
	movq	%rdi, %rbx
	subq	$296, %rsp
	.cfi_def_cfa_offset 352
	.loc 1 113 20 view .LVU106
	movq	72(%rdi), %rax
.LBB60:
.LBB61:
	.loc 1 58 31 view .LVU107
	cmpl	$1, 48(%rdi)
.LBE61:
.LBE60:
	.loc 1 113 20 view .LVU108
	movdqu	8(%rdi), %xmm0
	movdqu	24(%rdi), %xmm1
	movdqu	40(%rdi), %xmm2
	movdqu	56(%rdi), %xmm3
	movq	%rax, 64(%rsp)
	.loc 1 114 2 is_stmt 1 view .LVU109
	.loc 1 116 2 view .LVU110
	.loc 1 117 19 is_stmt 0 view .LVU111
	movq	.LC2(%rip), %rax
	.loc 1 113 20 view .LVU112
	movaps	%xmm0, (%rsp)
	movaps	%xmm2, 32(%rsp)
	.loc 1 116 18 view .LVU113
	movl	$0, (%rsp)
	.loc 1 117 2 is_stmt 1 view .LVU114
	.loc 1 117 19 is_stmt 0 view .LVU115
	movq	%rax, 36(%rsp)
	.loc 1 118 2 is_stmt 1 view .LVU116
.LVL33:
.LBB65:
.LBI60:
	.loc 1 54 5 view .LVU117
.LBB62:
	.loc 1 56 2 view .LVU118
	.loc 1 58 2 view .LVU119
.LBE62:
.LBE65:
	.loc 1 113 20 is_stmt 0 view .LVU120
	movaps	%xmm1, 16(%rsp)
	movaps	%xmm3, 48(%rsp)
.LBB66:
.LBB63:
	.loc 1 58 31 view .LVU121
	jbe	.L41
.L32:
.LVL34:
	.loc 1 58 31 view .LVU122
.LBE63:
.LBE66:
	.loc 1 119 3 is_stmt 1 view .LVU123
.LBB67:
.LBI67:
	.loc 1 94 12 view .LVU124
.LBB68:
	.loc 1 97 2 view .LVU125
	.loc 1 97 36 is_stmt 0 view .LVU126
	movq	80(%rbx), %rdi
.LVL35:
	.loc 1 97 36 view .LVU127
	call	vmb_pair_source@PLT
.LVL36:
	.loc 1 102 9 view .LVU128
	movl	%ebp, %edi
	.loc 1 97 36 view .LVU129
	movq	%rax, %r14
.LVL37:
	.loc 1 98 2 is_stmt 1 view .LVU130
	.loc 1 99 2 view .LVU131
	.loc 1 100 2 view .LVU132
	.loc 1 102 2 view .LVU133
	.loc 1 102 9 is_stmt 0 view .LVU134
	call	vmb_cpu_at@PLT
.LVL38:
	.loc 1 102 9 view .LVU135
	movl	$1, %edx
	movl	%eax, %r15d
	movl	48(%rbx), %eax
.LVL39:
.LBB69:
.LBI69:
	.loc 1 87 12 is_stmt 1 view .LVU136
.LBB70:
	.loc 1 89 2 view .LVU137
.LBB71:
.LBI71:
	.loc 1 61 17 view .LVU138
.LBB72:
	.loc 1 63 2 view .LVU139
	.loc 1 63 62 is_stmt 0 view .LVU140
	cmpl	$1, %eax
	cmovbe	44(%rbx), %eax
.LVL40:
	.loc 1 65 2 is_stmt 1 view .LVU141
	testl	%eax, %eax
	cmovne	%eax, %edx
	movl	%edx, %r12d
.LVL41:
	.loc 1 65 2 is_stmt 0 view .LVU142
.LBE72:
.LBE71:
	.loc 1 91 2 is_stmt 1 view .LVU143
	.loc 1 91 35 is_stmt 0 view .LVU144
	call	vmb_cpu_count@PLT
.LVL42:
	.loc 1 91 22 view .LVU145
	leal	(%r12,%r12), %edx
	.loc 1 91 35 view .LVU146
	movl	%eax, %ecx
	.loc 1 91 9 view .LVU147
	leal	0(%rbp,%r12), %eax
	addl	$1, %ebp
.LVL43:
	.loc 1 91 9 view .LVU148
	cmpl	%edx, %ecx
	cmovb	%ebp, %eax
	movl	%eax, %edi
	call	vmb_cpu_at@PLT
.LVL44:
.LBE70:
.LBE69:
	.loc 1 102 9 view .LVU149
	movq	80(%rbx), %rdi
.LBB74:
.LBB73:
	.loc 1 91 9 view .LVU150
	movl	%eax, %ebp
.LVL45:
	.loc 1 91 9 view .LVU151
.LBE73:
.LBE74:
	.loc 1 102 9 view .LVU152
	call	vmb_pair_program@PLT
.LVL46:
	movl	%ebp, %esi
	movl	%r15d, %edx
	movq	%rax, %rdi
	call	vmb_pair_open@PLT
.LVL47:
	movq	%rax, %rbp
.LVL48:
	.loc 1 104 2 is_stmt 1 view .LVU153
	.loc 1 104 5 is_stmt 0 view .LVU154
	testq	%rax, %rax
	je	.L39
	.loc 1 106 2 is_stmt 1 view .LVU155
	.loc 1 106 45 is_stmt 0 view .LVU156
	movq	80(%rbx), %rdi
	call	vmb_pair_patience_ns@PLT
.LVL49:
	.loc 1 106 2 view .LVU157
	movq	%rbp, %rdi
	.loc 1 106 77 view .LVU158
	movabsq	$4835703278458516699, %rdx
	mulq	%rdx
	shrq	$18, %rdx
	.loc 1 106 2 view .LVU159
	movl	%edx, %esi
	call	vmb_pair_set_patience@PLT
.LVL50:
	.loc 1 107 2 is_stmt 1 view .LVU160
	.loc 1 107 8 is_stmt 0 view .LVU161
	leaq	80(%rsp), %rdx
	movq	%r14, %rsi
	movq	%rbp, %rdi
	call	vmb_pair_source_make@PLT
.LVL51:
	.loc 1 108 2 is_stmt 1 view .LVU162
	.loc 1 108 19 is_stmt 0 view .LVU163
	testl	%eax, %eax
	je	.L42
.LVL52:
.L31:
	.loc 1 108 19 view .LVU164
.LBE68:
.LBE67:
	.loc 1 122 1 view .LVU165
	addq	$296, %rsp
	.cfi_remember_state
	.cfi_def_cfa_offset 56
	popq	%rbx
	.cfi_def_cfa_offset 48
.LVL53:
	.loc 1 122 1 view .LVU166
	popq	%rbp
	.cfi_def_cfa_offset 40
	popq	%r12
	.cfi_def_cfa_offset 32
	popq	%r13
	.cfi_def_cfa_offset 24
.LVL54:
	.loc 1 122 1 view .LVU167
	popq	%r14
	.cfi_def_cfa_offset 16
	popq	%r15
	.cfi_def_cfa_offset 8
	ret
.LVL55:
.L41:
	.cfi_restore_state
.LBB76:
.LBB64:
	.loc 1 58 45 view .LVU168
	movq	(%rdi), %rax
	.loc 1 58 31 view .LVU169
	testb	$25, 16(%rax)
	jne	.L32
.LVL56:
	.loc 1 58 31 view .LVU170
.LBE64:
.LBE76:
	.loc 1 120 2 is_stmt 1 view .LVU171
	.loc 1 120 8 is_stmt 0 view .LVU172
	movl	%esi, %edi
	call	vmb_cpu_at@PLT
.LVL57:
	.loc 1 120 8 view .LVU173
	movl	%eax, %edi
	call	vmb_pin@PLT
.LVL58:
	.loc 1 121 2 is_stmt 1 view .LVU174
	.loc 1 121 19 is_stmt 0 view .LVU175
	testl	%eax, %eax
	jne	.L31
	.loc 1 121 21 discriminator 1 view .LVU176
	movq	%rsp, %rsi
	movq	%r13, %rdx
	movq	%rbx, %rdi
	call	vmb_case_join@PLT
.LVL59:
	.loc 1 121 21 discriminator 1 view .LVU177
	jmp	.L31
.LVL60:
.L42:
.LBB77:
.LBB75:
	.loc 1 108 21 view .LVU178
	movq	(%rbx), %rsi
	movq	%rsp, %rdx
.LVL61:
	.loc 1 108 21 view .LVU179
	movq	%r13, %rcx
	movq	%rbp, %rdi
	call	vmb_case_open@PLT
.LVL62:
	.loc 1 108 21 view .LVU180
	jmp	.L31
.LVL63:
.L39:
	.loc 1 105 10 view .LVU181
	movl	$-10, %eax
.LVL64:
	.loc 1 105 10 view .LVU182
.LBE75:
.LBE77:
	.loc 1 119 10 view .LVU183
	jmp	.L31
	.cfi_endproc
.LFE20:
	.size	prepare_member, .-prepare_member
	.section	.rodata.str1.8
	.align 8
.LC3:
	.string	"receiver %u was killed by signal %d (%s)"
	.align 8
.LC4:
	.string	"receiver %u ended with status %d"
	.align 8
.LC5:
	.string	"%u of %u receivers did not answer"
	.section	.rodata.str1.1
.LC6:
	.string	"receiver %u of %u: %s"
	.text
	.p2align 4
	.type	wait_for_all, @function
wait_for_all:
.LVL65:
.LFB28:
	.loc 1 256 1 is_stmt 1 view -0
	.cfi_startproc
	.loc 1 257 2 view .LVU185
.LBB87:
.LBI87:
	.file 2 "bench/vmabench/native/core.h"
	.loc 2 517 24 view .LVU186
.LBB88:
	.loc 2 519 2 view .LVU187
	.loc 2 521 2 view .LVU188
.LBE88:
.LBE87:
	.loc 1 256 1 is_stmt 0 view .LVU189
	pushq	%r15
	.cfi_def_cfa_offset 16
	.cfi_offset 15, -16
	pushq	%r14
	.cfi_def_cfa_offset 24
	.cfi_offset 14, -24
	movq	%rdi, %r14
.LBB92:
.LBB89:
	.loc 2 521 2 view .LVU190
	movl	$4, %edi
.LVL66:
	.loc 2 521 2 view .LVU191
.LBE89:
.LBE92:
	.loc 1 256 1 view .LVU192
	pushq	%r13
	.cfi_def_cfa_offset 32
	.cfi_offset 13, -32
	pushq	%r12
	.cfi_def_cfa_offset 40
	.cfi_offset 12, -40
	.loc 1 261 33 view .LVU193
	leaq	8(%r14), %r12
	.loc 1 256 1 view .LVU194
	pushq	%rbp
	.cfi_def_cfa_offset 48
	.cfi_offset 6, -48
	pushq	%rbx
	.cfi_def_cfa_offset 56
	.cfi_offset 3, -56
	movq	%rsi, %rbx
	subq	$24, %rsp
	.cfi_def_cfa_offset 80
.LBB93:
.LBB90:
	.loc 2 521 2 view .LVU195
	movq	%rsp, %rbp
	movq	%rbp, %rsi
.LVL67:
	.loc 2 521 2 view .LVU196
	call	clock_gettime@PLT
.LVL68:
	.loc 2 522 2 is_stmt 1 view .LVU197
.LBE90:
.LBE93:
	.loc 1 257 44 is_stmt 0 view .LVU198
	movl	(%r14), %r13d
.LBB94:
.LBB91:
	.loc 2 522 30 view .LVU199
	imulq	$1000000000, (%rsp), %rax
	.loc 2 522 44 view .LVU200
	addq	8(%rsp), %rax
.LBE91:
.LBE94:
	.loc 1 257 54 view .LVU201
	imulq	%rbx, %r13
	.loc 1 257 11 view .LVU202
	addq	%rax, %r13
.LVL69:
	.loc 1 258 2 is_stmt 1 view .LVU203
	.loc 1 259 2 view .LVU204
	.loc 1 261 2 view .LVU205
	.p2align 4,,10
	.p2align 3
.L44:
	.loc 1 261 66 view .LVU206
	.loc 1 261 17 is_stmt 0 view .LVU207
	movl	(%r12), %esi
.LVL70:
	.loc 1 261 73 view .LVU208
	movl	(%r14), %ecx
	.loc 1 261 66 view .LVU209
	cmpl	%ecx, %esi
	jnb	.L64
	.loc 1 262 3 is_stmt 1 view .LVU210
	movl	$50, %edx
	movq	%r12, %rdi
	call	vmb_futex_wait@PLT
.LVL71:
	.loc 1 263 3 view .LVU211
.LBB95:
.LBI95:
	.loc 1 235 12 view .LVU212
.LBB96:
	.loc 1 237 2 view .LVU213
	.loc 1 239 2 view .LVU214
.LBB97:
	.loc 1 239 7 view .LVU215
	.loc 1 239 25 view .LVU216
	movl	(%r14), %edx
	testl	%edx, %edx
	je	.L51
	.loc 1 239 16 is_stmt 0 view .LVU217
	xorl	%r15d, %r15d
.LVL72:
	.p2align 4,,10
	.p2align 3
.L49:
.LBB98:
	.loc 1 240 3 is_stmt 1 view .LVU218
	.loc 1 242 3 view .LVU219
	.loc 1 242 13 is_stmt 0 view .LVU220
	movl	%r15d, %ebx
	imulq	$808, %rbx, %rbx
	addq	%r14, %rbx
	movl	40(%rbx), %edi
	.loc 1 242 6 view .LVU221
	testl	%edi, %edi
	jle	.L46
	.loc 1 242 27 view .LVU222
	movl	$1, %edx
	movq	%rbp, %rsi
	call	waitpid@PLT
.LVL73:
	.loc 1 242 24 view .LVU223
	cmpl	40(%rbx), %eax
	jne	.L46
	.loc 1 244 3 is_stmt 1 view .LVU224
	.loc 1 245 7 is_stmt 0 view .LVU225
	movl	(%rsp), %edx
	.loc 1 244 15 view .LVU226
	movl	$0, 40(%rbx)
	.loc 1 245 3 is_stmt 1 view .LVU227
	.loc 1 245 7 is_stmt 0 view .LVU228
	movl	%edx, %eax
	andl	$127, %eax
	addl	$1, %eax
	.loc 1 245 6 view .LVU229
	cmpb	$1, %al
	jg	.L65
	.loc 1 248 3 is_stmt 1 view .LVU230
	.loc 1 248 6 is_stmt 0 view .LVU231
	movl	44(%rbx), %eax
	testl	%eax, %eax
	je	.L66
.L46:
.LBE98:
	.loc 1 239 44 is_stmt 1 view .LVU232
	addl	$1, %r15d
.LVL74:
	.loc 1 239 25 view .LVU233
	cmpl	(%r14), %r15d
	jb	.L49
.LVL75:
.L51:
	.loc 1 239 25 is_stmt 0 view .LVU234
.LBE97:
.LBE96:
.LBE95:
	.loc 1 266 3 is_stmt 1 view .LVU235
.LBB105:
.LBI105:
	.loc 2 517 24 view .LVU236
.LBB106:
	.loc 2 519 2 view .LVU237
	.loc 2 521 2 view .LVU238
	movq	%rbp, %rsi
	movl	$4, %edi
	call	clock_gettime@PLT
.LVL76:
	.loc 2 522 2 view .LVU239
	.loc 2 522 30 is_stmt 0 view .LVU240
	imulq	$1000000000, (%rsp), %rax
	.loc 2 522 44 view .LVU241
	addq	8(%rsp), %rax
.LBE106:
.LBE105:
	.loc 1 266 6 view .LVU242
	cmpq	%rax, %r13
	jnb	.L44
	.loc 1 267 4 is_stmt 1 view .LVU243
	.loc 1 267 11 is_stmt 0 view .LVU244
	movl	(%r14), %ecx
	leaq	.LC5(%rip), %rsi
	movl	$-110, %edi
	xorl	%eax, %eax
	movl	%ecx, %edx
	subl	8(%r14), %edx
	.loc 1 278 1 view .LVU245
	addq	$24, %rsp
	.cfi_remember_state
	.cfi_def_cfa_offset 56
	popq	%rbx
	.cfi_def_cfa_offset 48
	popq	%rbp
	.cfi_def_cfa_offset 40
	popq	%r12
	.cfi_def_cfa_offset 32
	popq	%r13
	.cfi_def_cfa_offset 24
.LVL77:
	.loc 1 278 1 view .LVU246
	popq	%r14
	.cfi_def_cfa_offset 16
.LVL78:
	.loc 1 278 1 view .LVU247
	popq	%r15
	.cfi_def_cfa_offset 8
	.loc 1 267 11 view .LVU248
	jmp	vmb_fail@PLT
.LVL79:
	.p2align 4,,10
	.p2align 3
.L65:
	.cfi_restore_state
.LBB107:
.LBB103:
.LBB101:
.LBB99:
	.loc 1 246 4 is_stmt 1 view .LVU249
	.loc 1 246 11 is_stmt 0 view .LVU250
	andl	$127, %edx
	movl	%edx, %edi
	call	strsignal@PLT
.LVL80:
	movl	(%rsp), %ecx
	leal	1(%r15), %edx
	leaq	.LC3(%rip), %rsi
	movq	%rax, %r8
	movl	$-3, %edi
	xorl	%eax, %eax
	andl	$127, %ecx
	call	vmb_fail@PLT
.LVL81:
.L48:
	.loc 1 246 11 view .LVU251
.LBE99:
.LBE101:
.LBE103:
.LBE107:
	.loc 1 264 3 is_stmt 1 view .LVU252
	.loc 1 264 6 is_stmt 0 view .LVU253
	testl	%eax, %eax
	je	.L51
.LVL82:
.L43:
	.loc 1 278 1 view .LVU254
	addq	$24, %rsp
	.cfi_remember_state
	.cfi_def_cfa_offset 56
	popq	%rbx
	.cfi_def_cfa_offset 48
	popq	%rbp
	.cfi_def_cfa_offset 40
	popq	%r12
	.cfi_def_cfa_offset 32
	popq	%r13
	.cfi_def_cfa_offset 24
.LVL83:
	.loc 1 278 1 view .LVU255
	popq	%r14
	.cfi_def_cfa_offset 16
.LVL84:
	.loc 1 278 1 view .LVU256
	popq	%r15
	.cfi_def_cfa_offset 8
	ret
.LVL85:
	.p2align 4,,10
	.p2align 3
.L66:
	.cfi_restore_state
.LBB108:
.LBB104:
.LBB102:
.LBB100:
	.loc 1 249 4 is_stmt 1 view .LVU257
	.loc 1 249 11 is_stmt 0 view .LVU258
	movzbl	%dh, %eax
	leaq	.LC4(%rip), %rsi
	leal	1(%r15), %edx
	movl	$-3, %edi
	movl	%eax, %ecx
	xorl	%eax, %eax
	call	vmb_fail@PLT
.LVL86:
	jmp	.L48
.LVL87:
.L64:
	.loc 1 249 11 view .LVU259
.LBE100:
.LBE102:
.LBE104:
.LBE108:
.LBB109:
	.loc 1 270 25 is_stmt 1 view .LVU260
	leaq	44(%r14), %rsi
.LVL88:
	.loc 1 270 16 is_stmt 0 view .LVU261
	xorl	%edx, %edx
	.loc 1 270 25 view .LVU262
	testl	%ecx, %ecx
	je	.L67
	.loc 1 271 3 is_stmt 1 view .LVU263
	.loc 1 271 24 is_stmt 0 view .LVU264
	movl	(%rsi), %eax
	.loc 1 270 44 view .LVU265
	leal	1(%rdx), %edi
	.loc 1 271 6 view .LVU266
	testl	%eax, %eax
	jne	.L55
.LVL89:
.L68:
	.loc 1 272 4 is_stmt 1 discriminator 1 view .LVU267
	.loc 1 270 44 discriminator 1 view .LVU268
	.loc 1 270 25 discriminator 1 view .LVU269
	addq	$808, %rsi
	cmpl	%edi, %ecx
	je	.L43
.LVL90:
	.loc 1 271 24 is_stmt 0 view .LVU270
	movl	(%rsi), %eax
	.loc 1 270 44 view .LVU271
	movl	%edi, %edx
.LVL91:
	.loc 1 271 3 is_stmt 1 view .LVU272
	.loc 1 270 44 is_stmt 0 view .LVU273
	leal	1(%rdx), %edi
.LVL92:
	.loc 1 271 6 view .LVU274
	testl	%eax, %eax
	je	.L68
.LVL93:
.L55:
	.loc 1 273 3 is_stmt 1 view .LVU275
	.loc 1 274 21 is_stmt 0 view .LVU276
	imulq	$808, %rdx, %rbx
	.loc 1 273 3 view .LVU277
	leaq	.LC6(%rip), %rsi
	movl	%edi, %edx
	xorl	%eax, %eax
	xorl	%edi, %edi
	leaq	48(%r14,%rbx), %r8
	call	vmb_fail@PLT
.LVL94:
	.loc 1 275 3 is_stmt 1 view .LVU278
	.loc 1 275 26 is_stmt 0 view .LVU279
	movl	44(%r14,%rbx), %eax
.LBE109:
	.loc 1 278 1 view .LVU280
	addq	$24, %rsp
	.cfi_remember_state
	.cfi_def_cfa_offset 56
	popq	%rbx
	.cfi_def_cfa_offset 48
	popq	%rbp
	.cfi_def_cfa_offset 40
	popq	%r12
	.cfi_def_cfa_offset 32
	popq	%r13
	.cfi_def_cfa_offset 24
.LVL95:
	.loc 1 278 1 view .LVU281
	popq	%r14
	.cfi_def_cfa_offset 16
.LVL96:
	.loc 1 278 1 view .LVU282
	popq	%r15
	.cfi_def_cfa_offset 8
	ret
.LVL97:
.L67:
	.cfi_restore_state
	.loc 1 277 9 view .LVU283
	xorl	%eax, %eax
	jmp	.L43
	.cfi_endproc
.LFE28:
	.size	wait_for_all, .-wait_for_all
	.section	.rodata.str1.8
	.align 8
.LC7:
	.string	"contention is checked before it is timed"
	.text
	.p2align 4
	.type	contention_run, @function
contention_run:
.LVL98:
.LFB34:
	.loc 1 349 1 is_stmt 1 view -0
	.cfi_startproc
	.loc 1 350 2 view .LVU285
	.loc 1 349 1 is_stmt 0 view .LVU286
	pushq	%r13
	.cfi_def_cfa_offset 16
	.cfi_offset 13, -16
	pushq	%r12
	.cfi_def_cfa_offset 24
	.cfi_offset 12, -24
	pushq	%rbp
	.cfi_def_cfa_offset 32
	.cfi_offset 6, -32
	pushq	%rbx
	.cfi_def_cfa_offset 40
	.cfi_offset 3, -40
	subq	$8, %rsp
	.cfi_def_cfa_offset 48
	.loc 1 350 16 view .LVU287
	movq	296(%rdi), %rbp
.LVL99:
	.loc 1 351 2 is_stmt 1 view .LVU288
	.loc 1 352 2 view .LVU289
	.loc 1 354 2 view .LVU290
	.loc 1 354 5 is_stmt 0 view .LVU291
	testq	%rbp, %rbp
	je	.L79
	.loc 1 356 15 view .LVU292
	movq	%rsi, 24(%rbp)
.LBB115:
.LBB116:
	.loc 1 282 16 view .LVU293
	movq	296(%rdi), %r13
	movq	%rdi, %r12
	movq	%rdx, %rbx
.LBE116:
.LBE115:
	.loc 1 356 2 is_stmt 1 view .LVU294
	.loc 1 357 2 view .LVU295
.LVL100:
.LBB118:
.LBI115:
	.loc 1 280 12 view .LVU296
.LBB117:
	.loc 1 282 2 view .LVU297
	.loc 1 284 2 view .LVU298
	.loc 1 286 21 is_stmt 0 view .LVU299
	leaq	4(%r13), %rdi
.LVL101:
	.loc 1 284 15 view .LVU300
	movl	$1, 16(%r13)
	.loc 1 285 2 is_stmt 1 view .LVU301
	.loc 1 285 14 is_stmt 0 view .LVU302
	movq	$0, 8(%r13)
	.loc 1 286 2 is_stmt 1 view .LVU303
	lock addl	$1, 4(%r13)
	.loc 1 287 2 view .LVU304
	call	vmb_futex_wake@PLT
.LVL102:
	.loc 1 288 2 view .LVU305
	.loc 1 288 9 is_stmt 0 view .LVU306
	movq	80(%r12), %rdi
	call	vmb_pair_patience_ns@PLT
.LVL103:
	movq	%r13, %rdi
	movq	%rax, %rsi
	call	wait_for_all
.LVL104:
	.loc 1 288 9 view .LVU307
.LBE117:
.LBE118:
	.loc 1 358 2 is_stmt 1 view .LVU308
	.loc 1 358 5 is_stmt 0 view .LVU309
	testl	%eax, %eax
	jne	.L69
.LVL105:
.LBB119:
	.loc 1 360 25 is_stmt 1 view .LVU310
	.loc 1 360 32 is_stmt 0 view .LVU311
	movl	0(%rbp), %edx
	.loc 1 360 25 view .LVU312
	testl	%edx, %edx
	je	.L75
	movq	%rbp, %rsi
	xorl	%edi, %edi
.LBE119:
	.loc 1 351 34 view .LVU313
	xorl	%r8d, %r8d
	.loc 1 351 11 view .LVU314
	movq	$-1, %r9
.LVL106:
	.p2align 4,,10
	.p2align 3
.L74:
.LBB123:
.LBB120:
	.loc 1 361 3 is_stmt 1 view .LVU315
	.loc 1 363 3 view .LVU316
	.loc 1 363 12 is_stmt 0 view .LVU317
	movq	240(%rsi), %rdx
	cmpq	%rdx, %r9
	cmova	%rdx, %r9
.LVL107:
	.loc 1 364 3 is_stmt 1 view .LVU318
	.loc 1 364 10 is_stmt 0 view .LVU319
	movq	248(%rsi), %rdx
	cmpq	%rdx, %r8
	cmovb	%rdx, %r8
.LVL108:
	.loc 1 365 3 is_stmt 1 view .LVU320
	.loc 1 365 31 is_stmt 0 view .LVU321
	movq	256(%rsi), %rdx
	.loc 1 365 23 view .LVU322
	movq	%rdx, 224(%rbx,%rdi,8)
	.loc 1 366 3 is_stmt 1 view .LVU323
.LBB121:
	.loc 1 366 8 view .LVU324
.LVL109:
	.loc 1 366 21 view .LVU325
.LBE121:
	.loc 1 365 23 is_stmt 0 view .LVU326
	xorl	%edx, %edx
.LVL110:
	.p2align 4,,10
	.p2align 3
.L73:
.LBB122:
	.loc 1 367 4 is_stmt 1 discriminator 3 view .LVU327
	.loc 1 367 25 is_stmt 0 discriminator 3 view .LVU328
	movq	272(%rsi,%rdx), %rcx
	addq	%rcx, 96(%rbx,%rdx)
	.loc 1 366 41 is_stmt 1 discriminator 3 view .LVU329
.LVL111:
	.loc 1 366 21 discriminator 3 view .LVU330
	addq	$8, %rdx
.LVL112:
	.loc 1 366 21 is_stmt 0 discriminator 3 view .LVU331
	cmpq	$120, %rdx
	jne	.L73
.LBE122:
.LBE120:
	.loc 1 360 44 is_stmt 1 discriminator 2 view .LVU332
.LVL113:
	.loc 1 360 25 discriminator 2 view .LVU333
	.loc 1 360 32 is_stmt 0 discriminator 2 view .LVU334
	movl	0(%rbp), %edx
.LVL114:
	.loc 1 360 25 discriminator 2 view .LVU335
	addq	$1, %rdi
.LVL115:
	.loc 1 360 25 discriminator 2 view .LVU336
	addq	$808, %rsi
	cmpl	%edx, %edi
	jb	.L74
.LBE123:
	.loc 1 370 41 view .LVU337
	subq	%r9, %r8
.LVL116:
.L72:
	.loc 1 369 2 is_stmt 1 view .LVU338
	.loc 1 369 17 is_stmt 0 view .LVU339
	movl	%edx, 216(%rbx)
	.loc 1 370 2 is_stmt 1 view .LVU340
	.loc 1 370 32 is_stmt 0 view .LVU341
	movq	%r8, 40(%rbx)
	.loc 1 371 2 is_stmt 1 view .LVU342
.L69:
	.loc 1 372 1 is_stmt 0 view .LVU343
	addq	$8, %rsp
	.cfi_remember_state
	.cfi_def_cfa_offset 40
	popq	%rbx
	.cfi_def_cfa_offset 32
.LVL117:
	.loc 1 372 1 view .LVU344
	popq	%rbp
	.cfi_def_cfa_offset 24
.LVL118:
	.loc 1 372 1 view .LVU345
	popq	%r12
	.cfi_def_cfa_offset 16
.LVL119:
	.loc 1 372 1 view .LVU346
	popq	%r13
	.cfi_def_cfa_offset 8
	ret
.LVL120:
.L75:
	.cfi_restore_state
.LBB124:
	.loc 1 360 25 view .LVU347
	movl	$1, %r8d
	jmp	.L72
.LVL121:
.L79:
	.loc 1 360 25 view .LVU348
.LBE124:
	.loc 1 355 3 is_stmt 1 view .LVU349
	.loc 1 372 1 is_stmt 0 view .LVU350
	addq	$8, %rsp
	.cfi_def_cfa_offset 40
	.loc 1 355 10 view .LVU351
	leaq	.LC7(%rip), %rsi
.LVL122:
	.loc 1 355 10 view .LVU352
	movl	$-22, %edi
.LVL123:
	.loc 1 355 10 view .LVU353
	xorl	%eax, %eax
	.loc 1 372 1 view .LVU354
	popq	%rbx
	.cfi_def_cfa_offset 32
	popq	%rbp
	.cfi_def_cfa_offset 24
.LVL124:
	.loc 1 372 1 view .LVU355
	popq	%r12
	.cfi_def_cfa_offset 16
	popq	%r13
	.cfi_def_cfa_offset 8
	.loc 1 355 10 view .LVU356
	jmp	vmb_fail@PLT
.LVL125:
	.loc 1 355 10 view .LVU357
	.cfi_endproc
.LFE34:
	.size	contention_run, .-contention_run
	.p2align 4
	.type	contention_prove, @function
contention_prove:
.LVL126:
.LFB38:
	.loc 1 437 1 is_stmt 1 view -0
	.cfi_startproc
	.loc 1 438 2 view .LVU359
	.loc 1 437 1 is_stmt 0 view .LVU360
	pushq	%r13
	.cfi_def_cfa_offset 16
	.cfi_offset 13, -16
	pushq	%r12
	.cfi_def_cfa_offset 24
	.cfi_offset 12, -24
	pushq	%rbp
	.cfi_def_cfa_offset 32
	.cfi_offset 6, -32
	pushq	%rbx
	.cfi_def_cfa_offset 40
	.cfi_offset 3, -40
	subq	$8, %rsp
	.cfi_def_cfa_offset 48
	.loc 1 438 22 view .LVU361
	movq	296(%rdi), %rbx
.LVL127:
	.loc 1 439 2 is_stmt 1 view .LVU362
	.loc 1 441 2 view .LVU363
	.loc 1 441 5 is_stmt 0 view .LVU364
	testq	%rbx, %rbx
	je	.L87
	movq	%rdi, %r12
	movq	%rsi, %rbp
	.loc 1 443 2 is_stmt 1 view .LVU365
.LVL128:
.LBB130:
.LBI130:
	.loc 1 280 12 view .LVU366
.LBB131:
	.loc 1 282 2 view .LVU367
	.loc 1 284 2 view .LVU368
	.loc 1 286 21 is_stmt 0 view .LVU369
	leaq	4(%rbx), %rdi
.LVL129:
	.loc 1 284 15 view .LVU370
	movl	$3, 16(%rbx)
	.loc 1 285 2 is_stmt 1 view .LVU371
	.loc 1 285 14 is_stmt 0 view .LVU372
	movq	$0, 8(%rbx)
	.loc 1 286 2 is_stmt 1 view .LVU373
	lock addl	$1, 4(%rbx)
	.loc 1 287 2 view .LVU374
	call	vmb_futex_wake@PLT
.LVL130:
	.loc 1 288 2 view .LVU375
	.loc 1 288 9 is_stmt 0 view .LVU376
	movq	80(%r12), %rdi
	call	vmb_pair_patience_ns@PLT
.LVL131:
	movq	%rbx, %rdi
	movq	%rax, %rsi
	call	wait_for_all
.LVL132:
	movl	%eax, %r13d
.LVL133:
	.loc 1 288 9 view .LVU377
.LBE131:
.LBE130:
	.loc 1 444 2 is_stmt 1 view .LVU378
.LBB132:
	.loc 1 444 7 view .LVU379
	.loc 1 444 42 view .LVU380
	movl	(%rbx), %eax
.LVL134:
	.loc 1 444 42 is_stmt 0 view .LVU381
	testl	%eax, %eax
	je	.L88
	testl	%r13d, %r13d
	.loc 1 445 3 view .LVU382
	leaq	200(%rbp), %r10
	.loc 1 444 42 view .LVU383
	sete	%al
	.loc 1 444 16 view .LVU384
	xorl	%r9d, %r9d
	.loc 1 444 42 view .LVU385
	testb	%al, %al
	je	.L88
.LVL135:
	.p2align 4,,10
	.p2align 3
.L86:
	.loc 1 445 3 is_stmt 1 discriminator 4 view .LVU386
	movl	%r9d, %r8d
	movq	%r10, %rsi
	.loc 1 444 52 is_stmt 0 discriminator 4 view .LVU387
	addl	$1, %r9d
.LVL136:
	.loc 1 444 52 discriminator 4 view .LVU388
	imulq	$808, %r8, %r8
	.loc 1 445 3 discriminator 4 view .LVU389
	leaq	592(%rbx,%r8), %rdi
	call	add_proof
.LVL137:
	.loc 1 446 3 is_stmt 1 discriminator 4 view .LVU390
	leaq	392(%rbx,%r8), %rdi
	movq	%rbp, %rsi
	call	add_proof
.LVL138:
	.loc 1 444 52 discriminator 4 view .LVU391
	.loc 1 444 42 discriminator 4 view .LVU392
	cmpl	(%rbx), %r9d
	jb	.L86
.LVL139:
.L85:
	.loc 1 444 42 is_stmt 0 discriminator 4 view .LVU393
.LBE132:
.LBB133:
.LBI133:
	.loc 1 54 5 is_stmt 1 view .LVU394
.LBB134:
	.loc 1 56 2 view .LVU395
	.loc 1 58 2 view .LVU396
	.loc 1 58 31 is_stmt 0 view .LVU397
	cmpl	$1