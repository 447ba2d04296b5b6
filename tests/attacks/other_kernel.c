/* User-mode Linux 6.1 gives the registers of its processes back in 2,696 bytes, which were all that there were. Since
 * processors have tiles (AMX), Linux takes them whole or not at all, and the first process dies. Preloaded, this puts
 * what it gives over the whole of what is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

long ptrace(enum __ptrace_request request, ...)
{
    static long (*real)(enum __ptrace_request, ...);
    static char whole[1 << 16];
    struct iovec all = {whole, sizeof whole};
    va_list more;

    va_start(more, request);
    int process = va_arg(more, int);
    void *address = va_arg(more, void *), *data = va_arg(more, void *);
    va_end(more);
    if (!real)
        real = dlsym(RTLD_NEXT, "ptrace");
    if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE ||
        real(PTRACE_GETREGSET, process, address, &all) < 0)
        return real(request, process, address, data);
    struct iovec *given = data;
    memcpy(whole, given->iov_base, given->iov_len < all.iov_len ? given->iov_len : all.iov_len);
    return real(request, process, address, &all);
}
