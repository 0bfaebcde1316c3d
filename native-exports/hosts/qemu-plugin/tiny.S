/* SPDX-License-Identifier: GPL-2.0-or-later
 * A guest whose stores are known page by page: run.py has the list (TINY). 32-bit code without paging, started by QEMU's multiboot
 * loader. After each phase it says so on the serial port and waits there for a byte, without a store. */
#define COM1 0x3F8
#define DEBUG_EXIT 0xF4

        .section .text
        .code32
        .globl _start
        .align 4
        .long 0x1BADB002, 0, -0x1BADB002 /* multiboot: magic, flags, checksum */

_start: movl $0x9000, %esp /* page 8: every call writes there */
        movl %cr0, %eax    /* SSE: EM off, MP on; OSFXSR */
        andl $~4, %eax
        orl $2, %eax
        movl %eax, %cr0
        movl %cr4, %eax
        orl $0x200, %eax
        movl %eax, %cr4
        movb $'0', %al
        call say

/* 1: a byte in each third page of 2 to 34 MiB */
        movl $0x200000, %edi
1:      movb $0x5A, 17(%edi)
        addl $0x3000, %edi
        cmpl $0x2200000, %edi
        jb 1b
        movb $'1', %al
        call say

/* 2: string instructions, over 257 pages and over 3 */
        cld
        movl $0x2800FF0, %edi
        movl $0x100020, %ecx
        movb $0x77, %al
        rep stosb
        movl $0x2800FF0, %esi
        movl $0x2A00FFE, %edi
        movl $0x401, %ecx
        rep movsl
        std
        movl $0x2C01003, %edi
        movl $8, %ecx
        movb $0x33, %al
        rep stosb
        cld
        movb $'2', %al
        call say

/* 3: stores across pages, of 2, 4, 10 and 16 bytes, and some that read first */
        movl $0x3000FFF, %edi
        movw $0x1122, (%edi)
        addl $0x10000, %edi
        movl $0x11223344, (%edi)
        addl $0x10000, %edi
        fninit
        fldpi
        fstpt (%edi)
        addl $0x10000, %edi
        movups 0x2800FF0, %xmm0
        movups %xmm0, (%edi)
        addl $0x10000, %edi
        lock addl $0x01010101, -0x7F(%edi)
        addl $0x10000, %edi
        orb $1, (%edi)
        addl $0x10000, %edi
        movl $1, %eax
        xchgl %eax, -0x7F(%edi)
        addl $0x10000, %edi
        xorl %eax, %eax
        movl $7, %ecx
        lock cmpxchgl %ecx, -0x7F(%edi)
        movb $'3', %al
        call say

/* 4: nothing but loads */
        movl $0x200000, %esi
        movl $0x800000, %ecx
        rep lodsl
        movb $'4', %al
        call say
        movb $0, %al
        outb %al, $DEBUG_EXIT
2:      hlt
        jmp 2b

/* "tiny: N", and waits */
say:    movb %al, %bl
        movl $text, %esi
3:      lodsb
        testb %al, %al
        jz 4f
        call put
        jmp 3b
4:      movb %bl, %al
        call put
        movb $10, %al
        call put
5:      movw $COM1 + 5, %dx
        inb %dx, %al
        testb $1, %al
        jz 5b
        movw $COM1, %dx
        inb %dx, %al
        ret
put:    movw $COM1, %dx
        outb %al, %dx
        ret

text:   .asciz "tiny: "
