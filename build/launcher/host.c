/* What this host must have: a processor of level x86-64-v3, glibc 2.34, and libstdc++ of that time. */
#include <cpuid.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launcher.h"

/* The x86-64 psABI's list of what level v3 adds, and what carries it; the operating system must keep the wide registers. */
int check_processor(char *why, size_t size) {
    unsigned a = 0, b = 0, c = 0, d = 0, c1 = 0, b7 = 0, c8 = 0, low = 0, high = 0;
    char missing[160] = "";
    if (!__get_cpuid(1, &a, &b, &c1, &d)) c1 = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) b7 = b;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) c8 = c;
    if (c1 & bit_OSXSAVE) __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    const struct {
        const char *name;
        unsigned have;
    } needed[] = {
        {"sse4.2", c1 & bit_SSE4_2}, {"popcnt", c1 & bit_POPCNT}, {"avx", c1 & bit_AVX},    {"avx2", b7 & bit_AVX2},
        {"bmi1", b7 & bit_BMI},      {"bmi2", b7 & bit_BMI2},     {"f16c", c1 & bit_F16C},  {"fma", c1 & bit_FMA},
        {"lzcnt", c8 & bit_LZCNT},   {"movbe", c1 & bit_MOVBE},   {"osxsave", c1 & bit_OSXSAVE},
        {"wide registers kept by the operating system", (low & 6) == 6},
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (needed[i].have) continue;
        if (*missing) strncat(missing, ", ", sizeof missing - strlen(missing) - 1);
        strncat(missing, needed[i].name, sizeof missing - strlen(missing) - 1);
    }
    if (!*missing) return 0;
    snprintf(why, size,
             "this processor is too old: it has no %s. Needed is one of level x86-64-v3 (Intel since Haswell, 2013; AMD "
             "since Excavator, 2015). In a virtual machine, let the guest see the host's processor (for QEMU: -cpu host).",
             missing);
    return -1;
}

/* 1: the library has the symbol version, 0: it has not, -1: there is no such file. */
static int has_version(const char *folder, const char *library, const char *version) {
    char path[128];
    struct stat seen;
    snprintf(path, sizeof path, "%s/%s", folder, library);
    int file = open(path, O_RDONLY | O_CLOEXEC), found = -1;
    if (file < 0) return -1;
    if (fstat(file, &seen) == 0 && seen.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)seen.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (bytes != MAP_FAILED) {
            found = memmem(bytes, (size_t)seen.st_size, version, strlen(version) + 1) != NULL;
            munmap(bytes, (size_t)seen.st_size);
        }
    }
    close(file);
    return found;
}

int check_libraries(char *why, size_t size) {
    static const char *const folders[] = {"/lib64", "/usr/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib"};
    static const char *const needed[][3] = {{"libc.so.6", "GLIBC_2.34", "glibc 2.34"},
                                            {"libstdc++.so.6", "GLIBCXX_3.4.29", "libstdc++ of GCC 11"}};
    static const char systems[] = "Debian 12, Ubuntu 22.04, RHEL 9 and later have it";
    if (access("/lib64/ld-linux-x86-64.so.2", X_OK) != 0) {
        snprintf(why, size, "this system has no glibc (/lib64/ld-linux-x86-64.so.2 is missing). Needed is glibc 2.34 or later: "
                 "%s; Alpine and other systems with musl do not.", systems);
        return -1;
    }
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        int has = -1;
        for (size_t k = 0; k < sizeof folders / sizeof *folders && has < 0; k++)
            has = has_version(folders[k], needed[i][0], needed[i][1]);
        if (has > 0) continue;
        snprintf(why, size, "the %s of this system is %s. Needed is %s or later: %s.", needed[i][0],
                 has == 0 ? "too old" : "missing", needed[i][2], systems);
        return -1;
    }
    return 0;
}
