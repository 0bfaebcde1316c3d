/* SPDX-License-Identifier: MIT
 * The guest's code as bytes of this program. */
  .section .rodata
  .globl guest_code, guest_code_end
guest_code:
  .incbin GUEST_BLOB
guest_code_end:
  .section .note.GNU-stack, "", @progbits
