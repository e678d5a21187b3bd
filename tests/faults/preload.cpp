// A library that is loaded before a program (LD_PRELOAD). It counts the program's calls between the
// beginning and the end of main, and at the one that the plan (plan.h) names it kills the process,
// tears or shortens a write, makes the call fail or sends a signal. The functions have names of
// their own here and the system's names as labels: the system's headers declare those with
// attributes that would have to be repeated.
#include "tests/faults/plan.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

using namespace basin::faults;

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {

Plan* plan = nullptr;
bool in_main = false;
int log_file = -1;
// Set while the library itself works. The model without calls: it is read inside malloc.
thread_local bool inside __attribute__((tls_model("initial-exec"))) = false;

/// The target of a link in /proc; "" when there is none.
void read_link(const char* link, char* target, size_t size) {
  const long length = syscall(SYS_readlink, link, target, size - 1);
  target[length > 0 ? length : 0] = 0;
}

void prepare() {
  const char* path = getenv(plan_variable);
  if (!path) return;
  const int file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC));
  void* map = mmap(nullptr, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  syscall(SYS_close, file);
  if (map == MAP_FAILED) return;
  plan = static_cast<Plan*>(map);
  char program[1024];
  read_link("/proc/self/exe", program, sizeof program);
  const char* slash = strrchr(program, '/');
  in_main = slash && strncmp(slash + 1, plan->program, strlen(plan->program)) == 0;
  if (!in_main || !plan->log[0]) return;
  const long log =
      syscall(SYS_openat, AT_FDCWD, plan->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  log_file = fcntl(static_cast<int>(log), F_DUPFD_CLOEXEC,
                   700);  // out of the way of a program that counts its own
  syscall(SYS_close, log);
}

[[noreturn]] void die() {
  if (plan->root) kill(plan->root, SIGKILL);
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/// The absolute path of a call's argument: of a path below an open folder, or of a descriptor.
void resolve(int descriptor, const char* path, char* absolute, size_t size) {
  char link[64];
  absolute[0] = 0;
  if (path && path[0] == '/') {
    strncat(absolute, path, size - 1);
    return;
  }
  if (descriptor == AT_FDCWD)
    snprintf(link, sizeof link, "/proc/self/cwd");
  else
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  read_link(link, absolute, size);
  if (!path || !path[0]) return;
  strncat(absolute, "/", size - strlen(absolute) - 1);
  strncat(absolute, path, size - strlen(absolute) - 1);
}

bool is_under(const char* path) {
  const size_t length = strlen(plan->under);
  return strncmp(path, plan->under, length) == 0 && (path[length] == 0 || path[length] == '/');
}

/// Counts a call. True: it is to be hit; what is the same for all calls has then happened here.
bool count(Call call, const char* path, uint64_t size) {
  const uint64_t n = ++plan->counted;
  if (log_file >= 0) {
    char line[1200];
    const int length = snprintf(line, sizeof line, "%lu %d %s %s\n", n, getpid(),
                                call_names[static_cast<uint32_t>(call)], path);
    syscall(SYS_write, log_file, line, length);
  }
  if (plan->at == 0 || n < plan->at || (n > plan->at && !plan->onwards)) return false;
  if (plan->hits++ == 0) {
    plan->hit_call = call;
    plan->hit_size = size;
    snprintf(plan->hit_path, sizeof plan->hit_path, "%s", path);
  }
  if (plan->act == Act::kill) die();
  if (plan->act == Act::notify) kill(plan->root ? plan->root : getpid(), plan->number);
  return plan->act != Act::notify;
}

/// One call under observation.
class Observed {
 public:
  Observed(Call call, int descriptor, const char* path, bool has_path = true, uint64_t size = 0) {
    if (!in_main || inside || !(plan->calls & bit(call))) return;
    const int before = errno;
    inside = true;
    char absolute[1024] = "";
    if (has_path) resolve(descriptor, path, absolute, sizeof absolute);
    if (!has_path || is_under(absolute)) hit_ = count(call, absolute, size);
    inside = false;
    errno = before;
  }
  bool is(Act act) const { return hit_ && plan->act == act; }
  /// True when the call is to fail; errno is set.
  bool fails() const {
    if (is(Act::fail)) errno = plan->number;
    return is(Act::fail);
  }
  /// At the end of a call that was made.
  void made() const {
    if (is(Act::kill_after)) die();
  }

 private:
  bool hit_ = false;
};

/// The next definition of a function.
template <class F>
F* next(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

bool allocation_fails(size_t size) {
  if (!in_main || inside || !(plan->calls & bit(Call::allocation))) return false;
  const auto size_class = static_cast<uint32_t>(63 - __builtin_clzl(size | 1));
  ++plan->allocations[size_class];
  if (plan->size_class != any_size && plan->size_class != size_class) return false;
  return Observed(Call::allocation, -1, nullptr, false, size).fails();
}

}  // namespace

#define AS(name) __asm__(name) __attribute__((visibility("default")))

// WRAP(result, label, parameters, arguments, observed, failure): the function `label`, made unless
// it is to fail.
#define WRAP_AS(name, result, label, parameters, arguments, observed, failure) \
  result name parameters AS(label);                                            \
  result name parameters {                                                     \
    static const auto real = next<result parameters>(label);                   \
    const Observed call observed;                                              \
    if (call.fails()) return failure;                                          \
    result made = real arguments;                                              \
    call.made();                                                               \
    return made;                                                               \
  }
#define JOIN(a, b) a##b
#define NAME(number) JOIN(wrapped_, number)
#define WRAP(...) WRAP_AS(NAME(__COUNTER__), __VA_ARGS__)
// The same under the two names for 32 and 64 bits of file offset.
#define WRAP_64(result, label, ...) \
  WRAP(result, label, __VA_ARGS__)  \
  WRAP(result, label "64", __VA_ARGS__)

extern "C" {

static int (*program_main)(int, char**, char**);

static int observed_main(int argc, char** argv, char** environment) {
  prepare();
  const int code = program_main(argc, argv, environment);
  in_main = false;
  return code;
}

using Hook = void (*)();
int start_main(decltype(program_main) main, int argc, char** argv, Hook init, Hook fini,
               Hook unload, void* stack) AS("__libc_start_main");
int start_main(decltype(program_main) main, int argc, char** argv, Hook init, Hook fini,
               Hook unload, void* stack) {
  program_main = main;
  return next<decltype(start_main)>("__libc_start_main")(observed_main, argc, argv, init, fini,
                                                         unload, stack);
}

// The mode of open is an optional argument; taking it always is the same to the machine.
WRAP_64(int, "open", (const char* path, int flags, mode_t mode), (path, flags, mode),
        (Call::open, AT_FDCWD, path), -1)
WRAP_64(int, "openat", (int folder, const char* path, int flags, mode_t mode),
        (folder, path, flags, mode), (Call::open, folder, path), -1)
WRAP_64(FILE*, "fopen", (const char* path, const char* mode), (path, mode),
        (Call::open, AT_FDCWD, path), nullptr)

WRAP(int, "fsync", (int file), (file), (Call::sync, file, nullptr), -1)
WRAP(int, "fdatasync", (int file), (file), (Call::sync, file, nullptr), -1)
WRAP_64(int, "ftruncate", (int file, off_t size), (file, size), (Call::truncate, file, nullptr), -1)
WRAP_64(int, "truncate", (const char* path, off_t size), (path, size),
        (Call::truncate, AT_FDCWD, path), -1)
WRAP(int, "flock", (int file, int operation), (file, operation), (Call::lock, file, nullptr), -1)

WRAP(int, "rename", (const char* from, const char* to), (from, to), (Call::rename, AT_FDCWD, to),
     -1)
WRAP(int, "renameat", (int a, const char* from, int b, const char* to), (a, from, b, to),
     (Call::rename, b, to), -1)
WRAP(int, "renameat2", (int a, const char* from, int b, const char* to, unsigned flags),
     (a, from, b, to, flags), (Call::rename, b, to), -1)
WRAP(int, "mkdir", (const char* path, mode_t mode), (path, mode), (Call::mkdir, AT_FDCWD, path), -1)
WRAP(int, "mkdirat", (int folder, const char* path, mode_t mode), (folder, path, mode),
     (Call::mkdir, folder, path), -1)
WRAP(int, "unlink", (const char* path), (path), (Call::unlink, AT_FDCWD, path), -1)
WRAP(int, "rmdir", (const char* path), (path), (Call::unlink, AT_FDCWD, path), -1)
WRAP(int, "remove", (const char* path), (path), (Call::unlink, AT_FDCWD, path), -1)
WRAP(int, "unlinkat", (int folder, const char* path, int flags), (folder, path, flags),
     (Call::unlink, folder, path), -1)

WRAP_64(int, "stat", (const char* path, void* status), (path, status), (Call::stat, AT_FDCWD, path),
        -1)
WRAP_64(int, "lstat", (const char* path, void* status), (path, status),
        (Call::stat, AT_FDCWD, path), -1)
WRAP_64(int, "fstat", (int file, void* status), (file, status), (Call::stat, file, nullptr), -1)
WRAP_64(int, "fstatat", (int folder, const char* path, void* status, int flags),
        (folder, path, status, flags), (Call::stat, folder, path), -1)
WRAP(int, "access", (const char* path, int mode), (path, mode), (Call::stat, AT_FDCWD, path), -1)
WRAP(DIR*, "opendir", (const char* path), (path), (Call::list, AT_FDCWD, path), nullptr)
WRAP_64(dirent*, "readdir", (DIR * folder), (folder), (Call::list, dirfd(folder), nullptr), nullptr)

WRAP(pid_t, "fork", (), (), (Call::process, -1, nullptr, false), -1)

// The child runs in the frame of the caller, so this function must have left its own: the real one
// is jumped to, which the compiler does from -O2 on.
pid_t wrapped_vfork() AS("vfork");
pid_t wrapped_vfork() {
  static const auto real = next<pid_t()>("vfork");
  if (Observed(Call::process, -1, nullptr, false).fails()) return -1;
  return real();
}

// A file that cannot be closed is closed all the same, as Linux does it.
int wrapped_close(int file) AS("close");
int wrapped_close(int file) {
  static const auto real = next<int(int)>("close");
  const Observed call(Call::close, file, nullptr);
  const int made = real(file);
  call.made();
  return call.fails() ? -1 : made;
}

int wrapped_fclose(FILE* file) AS("fclose");
int wrapped_fclose(FILE* file) {
  static const auto real = next<int(FILE*)>("fclose");
  const Observed call(Call::close, fileno(file), nullptr);
  const int made = real(file);
  call.made();
  return call.fails() ? EOF : made;
}

ssize_t wrapped_write(int file, const void* data, size_t size) AS("write");
ssize_t wrapped_write(int file, const void* data, size_t size) {
  static const auto real = next<ssize_t(int, const void*, size_t)>("write");
  const Observed call(Call::write, file, nullptr);
  if (call.fails()) return -1;
  const bool part = call.is(Act::tear) || call.is(Act::shorten);
  const ssize_t made = real(file, data, part && size > 1 ? size / 2 : size);
  if (call.is(Act::tear)) die();
  call.made();
  return made;
}

ssize_t wrapped_writev(int file, const iovec* pieces, int count) AS("writev");
ssize_t wrapped_writev(int file, const iovec* pieces, int count) {
  static const auto real = next<ssize_t(int, const iovec*, int)>("writev");
  const Observed call(Call::write, file, nullptr);
  if (call.fails()) return -1;
  const bool part = call.is(Act::tear) || call.is(Act::shorten);
  iovec first = pieces[0];
  if (part && first.iov_len > 1) first.iov_len /= 2;
  const ssize_t made = part ? real(file, &first, 1) : real(file, pieces, count);
  if (call.is(Act::tear)) die();
  call.made();
  return made;
}

ssize_t wrapped_read(int file, void* data, size_t size) AS("read");
ssize_t wrapped_read(int file, void* data, size_t size) {
  static const auto real = next<ssize_t(int, void*, size_t)>("read");
  const Observed call(Call::read, file, nullptr);
  if (call.fails()) return -1;
  const ssize_t made = real(file, data, call.is(Act::shorten) && size > 1 ? size / 2 : size);
  call.made();
  return made;
}

ssize_t wrapped_pread(int file, void* data, size_t size, off_t place) AS("pread");
ssize_t wrapped_pread(int file, void* data, size_t size, off_t place) {
  static const auto real = next<ssize_t(int, void*, size_t, off_t)>("pread");
  const Observed call(Call::read, file, nullptr);
  if (call.fails()) return -1;
  const bool part = call.is(Act::shorten) && size > 1;
  const ssize_t made = real(file, data, part ? size / 2 : size, place);
  call.made();
  return made;
}

// These return the error instead of setting errno.
int wrapped_thread(pthread_t* thread, const pthread_attr_t* attributes, void* (*work)(void*),
                   void* argument) AS("pthread_create");
int wrapped_thread(pthread_t* thread, const pthread_attr_t* attributes, void* (*work)(void*),
                   void* argument) {
  static const auto real = next<decltype(wrapped_thread)>("pthread_create");
  const Observed call(Call::thread, -1, nullptr, false);
  return call.fails() ? plan->number : real(thread, attributes, work, argument);
}

int wrapped_spawn(pid_t* child, const char* path, const posix_spawn_file_actions_t* actions,
                  const posix_spawnattr_t* attributes, char* const words[],
                  char* const environment[]) AS("posix_spawn");
int wrapped_spawn(pid_t* child, const char* path, const posix_spawn_file_actions_t* actions,
                  const posix_spawnattr_t* attributes, char* const words[],
                  char* const environment[]) {
  static const auto real = next<decltype(wrapped_spawn)>("posix_spawn");
  const Observed call(Call::process, -1, nullptr, false);
  return call.fails() ? plan->number : real(child, path, actions, attributes, words, environment);
}

void* wrapped_malloc(size_t size) AS("malloc");
void* wrapped_malloc(size_t size) {
  return allocation_fails(size) ? nullptr : __libc_malloc(size);
}
void* wrapped_calloc(size_t count, size_t size) AS("calloc");
void* wrapped_calloc(size_t count, size_t size) {
  return allocation_fails(count * size) ? nullptr : __libc_calloc(count, size);
}
void* wrapped_realloc(void* block, size_t size) AS("realloc");
void* wrapped_realloc(void* block, size_t size) {
  return allocation_fails(size) ? nullptr : __libc_realloc(block, size);
}
void* wrapped_memalign(size_t alignment, size_t size) AS("memalign");
void* wrapped_memalign(size_t alignment, size_t size) {
  return allocation_fails(size) ? nullptr : __libc_memalign(alignment, size);
}
void* wrapped_aligned(size_t alignment, size_t size) AS("aligned_alloc");
void* wrapped_aligned(size_t alignment, size_t size) {
  return allocation_fails(size) ? nullptr : __libc_memalign(alignment, size);
}
int wrapped_posix_memalign(void** block, size_t alignment, size_t size) AS("posix_memalign");
int wrapped_posix_memalign(void** block, size_t alignment, size_t size) {
  if (allocation_fails(size)) return ENOMEM;
  *block = __libc_memalign(alignment, size);
  return *block ? 0 : ENOMEM;
}

}  // extern "C"
