// The part of CUDA's runtime that a stand-in needs: a card that keeps its memory in main memory, runs no kernel,
// and writes down all that it is asked for, a line each, to $STANDIN_LOG.
//
// A line is: thread, "capturing" or "plain", what, and words that depend on it. build.py adds whatever else
// ONNX Runtime's libraries name, as functions that do nothing and succeed.
#define _GNU_SOURCE
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#undef cudaGetDeviceProperties

#define GIB (1ull << 30)
#define TOTAL_BYTES (16 * GIB)

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static FILE *log_file;
static __thread int is_capturing;  // a capture belongs to the thread that began it
static size_t used_bytes;

void standin_log(const char *format, ...) {
    va_list words;
    va_start(words, format);
    pthread_mutex_lock(&guard);
    if (!log_file) {
        const char *path = getenv("STANDIN_LOG");
        log_file = path ? fopen(path, "a") : stderr;
        setvbuf(log_file, NULL, _IOLBF, 1 << 16);
    }
    fprintf(log_file, "%d %s ", (int)gettid(), is_capturing ? "capturing" : "plain");
    vfprintf(log_file, format, words);
    fputc('\n', log_file);
    pthread_mutex_unlock(&guard);
    va_end(words);
}

// For the test: a heading in the log.
void standin_mark(const char *text) { standin_log("mark %s", text); }

// For the test: the next call that waits, copies, allocates or replays fails, or that one and all after it.
static int failure, is_lost;
void standin_fail(int error, int lost) { failure = error, is_lost = lost; }

static cudaError_t outcome(void) {
    int error = failure;
    if (!is_lost) failure = 0;
    return error;
}

static int setting(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

// ---- kernels: by name, with the launch's geometry and, of some, the words of their arguments

typedef struct Kernel {
    const void *address;
    const char *name;
    struct Kernel *next;
} Kernel;
static Kernel *kernels[1 << 14];

static Kernel **bucket_of(const void *address) { return &kernels[((uintptr_t)address >> 4) & ((1 << 14) - 1)]; }

void **__cudaRegisterFatBinary(void *binary) { (void)binary; return calloc(1, 64); }

void __cudaRegisterFunction(void **binary, const char *address, char *device, const char *name) {
    (void)binary, (void)device;
    Kernel *kernel = malloc(sizeof *kernel), **bucket = bucket_of(address);
    *kernel = (Kernel){address, name, *bucket};
    *bucket = kernel;
}

static const char *name_of(const void *address) {
    for (Kernel *kernel = *bucket_of(address); kernel; kernel = kernel->next)
        if (kernel->address == address) return kernel->name;
    return "unknown";
}

// Which arguments tell which lengths a kernel reads: pointers each, or one struct of so many words on the stack.
static const struct { const char *name; int num_pointers, first_struct, num_words; } telling[] = {
    {"ConvertNonpadKvSeqlenToFlashSeqlensK", 2, 0, 0},
    {"GetSequenceLengths", 4, 0, 0},
    {"flash_fwd", 0, 0, 48},
    {"kernel_mha", 0, 6, 8},
};

static void log_arguments(const char *name, void **arguments) {
    for (size_t i = 0; i < sizeof telling / sizeof *telling; i++) {
        if (!strstr(name, telling[i].name)) continue;
        char line[2048];
        int length = 0;
        for (int a = 0; a < telling[i].num_pointers; a++)
            length += sprintf(line + length, " %lx", *(unsigned long *)arguments[a]);
        for (int w = 0; w < telling[i].num_words; w++)
            length += sprintf(line + length, " %lx", ((unsigned long *)arguments[telling[i].first_struct])[w]);
        standin_log("arguments%s", line);
    }
}

static cudaError_t launch(const void *kernel, dim3 grid, dim3 block, void **arguments) {
    const char *name = name_of(kernel);
    standin_log("launch %u %u %s", grid.x * grid.y * grid.z, block.x * block.y * block.z, name);
    log_arguments(name, arguments);
    return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void *f, dim3 g, dim3 b, void **a, size_t m, cudaStream_t s) {
    (void)m, (void)s;
    return launch(f, g, b, a);
}
cudaError_t cudaLaunchCooperativeKernel(const void *f, dim3 g, dim3 b, void **a, size_t m, cudaStream_t s) {
    (void)m, (void)s;
    return launch(f, g, b, a);
}
cudaError_t __cudaLaunchKernel(cudaKernel_t f, dim3 g, dim3 b, void **a, size_t m, cudaStream_t s) {
    (void)m, (void)s;
    return launch((const void *)f, g, b, a);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *c, const void *f, void **a) {
    return launch(f, c->gridDim, c->blockDim, a);
}
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *f) { *kernel = (cudaKernel_t)f; return cudaSuccess; }
cudaError_t cudaGetKernel(cudaKernel_t *kernel, const void *f) { return __cudaGetKernel(kernel, f); }

typedef struct { dim3 grid, block; size_t bytes; void *stream; } Geometry;
static __thread Geometry pushed[8];
static __thread int num_pushed;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t bytes, struct CUstream_st *stream) {
    pushed[num_pushed++] = (Geometry){grid, block, bytes, stream};
    return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *bytes, void *stream) {
    Geometry last = pushed[--num_pushed];
    *grid = last.grid, *block = last.block, *bytes = last.bytes, *(void **)stream = last.stream;
    return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *a, const void *f) {
    (void)f;
    memset(a, 0, sizeof *a);
    a->maxThreadsPerBlock = 1024, a->numRegs = 64, a->maxDynamicSharedSizeBytes = 160 << 10;
    a->binaryVersion = a->ptxVersion = setting("STANDIN_SM", 90);
    return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *n, const void *f, int b, size_t m) {
    (void)f, (void)b, (void)m;
    *n = 2;
    return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, const void *f, int b, size_t m, unsigned g) {
    (void)g;
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(n, f, b, m);
}

// ---- memory: zeroed, with its size in front, so that what is free is known

static cudaError_t reserve(const char *what, void **place, size_t num_bytes) {
    char *start = NULL;
    if (used_bytes + num_bytes > TOTAL_BYTES || posix_memalign((void **)&start, 512, num_bytes + 512)) {
        standin_log("refused %zu", num_bytes);
        return cudaErrorMemoryAllocation;
    }
    cudaError_t error = outcome();
    if (error) return free(start), error;
    memset(start, 0, num_bytes + 512);
    *(size_t *)start = num_bytes;
    *place = start + 512;
    __sync_fetch_and_add(&used_bytes, num_bytes);
    standin_log("%s %zu", what, num_bytes);
    return cudaSuccess;
}
static cudaError_t give_back(void *place) {
    if (!place) return cudaSuccess;
    char *start = (char *)place - 512;
    __sync_fetch_and_sub(&used_bytes, *(size_t *)start);
    standin_log("free %zu", *(size_t *)start);
    free(start);
    return cudaSuccess;
}
cudaError_t cudaMalloc(void **p, size_t n) { return reserve("allocate", p, n); }
cudaError_t cudaMallocAsync(void **p, size_t n, cudaStream_t s) { (void)s; return reserve("allocate", p, n); }
cudaError_t cudaMallocFromPoolAsync(void **p, size_t n, cudaMemPool_t m, cudaStream_t s) {
    (void)m, (void)s;
    return reserve("allocate", p, n);
}
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned f) { (void)f; return reserve("allocate_host", p, n); }
cudaError_t cudaMallocHost(void **p, size_t n) { return reserve("allocate_host", p, n); }
cudaError_t cudaFree(void *p) { return give_back(p); }
cudaError_t cudaFreeAsync(void *p, cudaStream_t s) { (void)s; return give_back(p); }
cudaError_t cudaFreeHost(void *p) { return give_back(p); }
cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    *available = TOTAL_BYTES - used_bytes, *total = TOTAL_BYTES;
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *a, const void *p) {
    memset(a, 0, sizeof *a);
    a->type = cudaMemoryTypeDevice, a->devicePointer = (void *)p;
    return cudaSuccess;
}
cudaError_t cudaGetSymbolAddress(void **p, const void *symbol) { (void)symbol; return reserve("symbol", p, 4096); }

static cudaError_t copied(void *to, const void *from, size_t n, enum cudaMemcpyKind kind, int waits) {
    static const char *kinds[] = {"host_to_host", "to_device", "to_host", "on_device", "default"};
    memmove(to, from, n);
    standin_log("copy %s %zu %s", kinds[kind], n, waits ? "waits" : "goes_on");
    return outcome();
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t n, enum cudaMemcpyKind k) {
    return copied(to, from, n, k, 1);
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind k, cudaStream_t s) {
    (void)s;
    return copied(to, from, n, k, 0);
}
cudaError_t cudaMemcpy2DAsync(
    void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
    enum cudaMemcpyKind k, cudaStream_t s) {
    (void)s;
    for (size_t i = 0; i < height; i++)
        copied((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width, k, 0);
    return outcome();
}
cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t n, size_t offset, enum cudaMemcpyKind k) {
    (void)symbol, (void)offset, (void)k;
    memset(to, 0, n);
    return cudaSuccess;
}
cudaError_t cudaMemset(void *p, int value, size_t n) { memset(p, value, n); return cudaSuccess; }
cudaError_t cudaMemsetAsync(void *p, int value, size_t n, cudaStream_t s) {
    (void)s;
    memset(p, value, n);
    standin_log("set %zu", n);
    return cudaSuccess;
}

// ---- the card

static int attribute(enum cudaDeviceAttr which) {
    switch (which) {
        case cudaDevAttrComputeCapabilityMajor: return setting("STANDIN_SM", 90) / 10;
        case cudaDevAttrComputeCapabilityMinor: return setting("STANDIN_SM", 90) % 10;
        case cudaDevAttrMultiProcessorCount: return 108;
        case cudaDevAttrWarpSize: return 32;
        case cudaDevAttrMaxThreadsPerBlock: case cudaDevAttrMaxBlockDimX: case cudaDevAttrMaxBlockDimY: return 1024;
        case cudaDevAttrMaxBlockDimZ: return 64;
        case cudaDevAttrMaxThreadsPerMultiProcessor: return 2048;
        case cudaDevAttrMaxSharedMemoryPerBlock: return 48 << 10;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: return 163 << 10;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return 164 << 10;
        case cudaDevAttrMaxRegistersPerBlock: case cudaDevAttrMaxRegistersPerMultiprocessor: return 65536;
        case cudaDevAttrMaxGridDimX: return 2147483647;
        case cudaDevAttrMaxGridDimY: case cudaDevAttrMaxGridDimZ: return 65535;
        case cudaDevAttrL2CacheSize: return 40 << 20;
        default: return 1;
    }
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int device) {
    (void)device;
    *value = attribute(which);
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
    (void)device;
    memset(p, 0, sizeof *p);
    strcpy(p->name, "a stand-in");
    p->major = attribute(cudaDevAttrComputeCapabilityMajor);
    p->minor = attribute(cudaDevAttrComputeCapabilityMinor);
    p->multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount);
    p->totalGlobalMem = TOTAL_BYTES;
    p->warpSize = 32, p->maxThreadsPerBlock = 1024, p->maxThreadsPerMultiProcessor = 2048;
    p->sharedMemPerBlock = attribute(cudaDevAttrMaxSharedMemoryPerBlock);
    p->sharedMemPerBlockOptin = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    p->sharedMemPerMultiprocessor = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->maxGridSize[0] = 2147483647, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
    p->l2CacheSize = attribute(cudaDevAttrL2CacheSize);
    p->concurrentKernels = p->unifiedAddressing = p->cooperativeLaunch = 1;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties_v2(struct cudaDeviceProp *p, int device) {
    return cudaGetDeviceProperties(p, device);
}
cudaError_t cudaGetDeviceCount(int *n) { *n = 1; return cudaSuccess; }
cudaError_t cudaGetDevice(int *n) { *n = 0; return cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { *version = 13000; return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int *version) { *version = 13000; return cudaSuccess; }
cudaError_t cudaDeviceGetPCIBusId(char *id, int n, int d) { (void)d; snprintf(id, n, "0000:01:00.0"); return cudaSuccess; }
const char *cudaGetErrorString(cudaError_t e) { return e ? "an error of the stand-in" : "no error"; }
const char *cudaGetErrorName(cudaError_t e) { return e ? "cudaErrorOfTheStandIn" : "cudaSuccess"; }

// ---- streams, events, captures: handles that are not null, and a line for whatever waits

static void *handle(void) {
    static size_t number = 0x1000;
    return (void *)__sync_add_and_fetch(&number, 16);
}
cudaError_t cudaStreamCreate(cudaStream_t *s) { *s = handle(); return cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned f) { (void)f; return cudaStreamCreate(s); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned f, int p) { (void)f, (void)p; return cudaStreamCreate(s); }
cudaError_t cudaEventCreate(cudaEvent_t *e) { *e = handle(); return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned f) { (void)f; return cudaEventCreate(e); }
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *m, int d) { (void)d; *m = handle(); return cudaSuccess; }
cudaError_t cudaMemPoolCreate(cudaMemPool_t *m, const struct cudaMemPoolProps *p) { (void)p; *m = handle(); return cudaSuccess; }
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t m, enum cudaMemPoolAttr a, void *v) {
    (void)m, (void)a;
    *(uint64_t *)v = 0;
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize(void) { standin_log("wait device"); return outcome(); }
cudaError_t cudaStreamSynchronize(cudaStream_t s) { (void)s; standin_log("wait stream"); return outcome(); }
cudaError_t cudaEventSynchronize(cudaEvent_t e) { (void)e; standin_log("wait event"); return outcome(); }
cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status) {
    (void)s;
    *status = is_capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode) {
    (void)s;
    standin_log("begin %s", mode == cudaStreamCaptureModeGlobal ? "global" : "local");
    is_capturing = 1;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph) {
    (void)s;
    is_capturing = 0;
    *graph = handle();
    standin_log("end");
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t g, unsigned long long f) {
    (void)g, (void)f;
    *exec = handle();
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t g, unsigned long long f) {
    return cudaGraphInstantiate(exec, g, f);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s) {
    (void)s;
    standin_log("replay %p", (void *)exec);
    return outcome();
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { standin_log("release %p", (void *)exec); return cudaSuccess; }
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t run, void *data) { (void)s; run(data); return cudaSuccess; }
cudaError_t cudaGetDriverEntryPointByVersion(
    const char *name, void **f, unsigned v, unsigned long long flags, enum cudaDriverEntryPointQueryResult *result) {
    (void)name, (void)v, (void)flags;
    *f = NULL;
    if (result) *result = cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
