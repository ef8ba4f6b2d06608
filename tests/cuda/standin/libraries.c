// What cuBLAS and cuDNN must answer for ONNX Runtime to go on: versions, and an algorithm for a product.
// Handles and everything else come from build.py.
#include <stddef.h>
#include <string.h>

void standin_log(const char *, ...);

#ifdef LIBRARY_cublas
int cublasGetVersion_v2(void *handle, int *version) { (void)handle; *version = 130000; return 0; }
int cublasGetMathMode(void *handle, int *mode) { (void)handle; *mode = 0; return 0; }
int cublasGetStream_v2(void *handle, void **stream) { (void)handle; *stream = NULL; return 0; }
const char *cublasGetStatusString(int status) { (void)status; return "of the stand-in"; }
#endif

#ifdef LIBRARY_cublasLt
size_t cublasLtGetVersion(void) { return 130000; }
int cublasLtMatmulAlgoGetHeuristic(
    void *handle, void *operation, void *a, void *b, void *c, void *d, void *preference, int wanted, void *results,
    int *number) {
    (void)handle, (void)operation, (void)a, (void)b, (void)c, (void)d, (void)preference, (void)wanted;
    memset(results, 0, 96);
    *number = 1;
    return 0;
}
#endif

#ifdef LIBRARY_cuda
int cudaMemGetInfo(size_t *, size_t *);
int cudaStreamCreate(void **);
int cudaStreamSynchronize(void *);
int cudaHostAlloc(void **, size_t, unsigned);
int cudaFreeHost(void *);
int cudaMemcpyAsync(void *, const void *, size_t, int, void *);
int cuInit(unsigned flags) { (void)flags; return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = (void *)1; return 0; }
static __thread void *current;  // a context belongs to the thread that entered it
static int entered(int status) { return current ? status : 201; }
int cuCtxSetCurrent(void *context) { current = context; return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *total) { return entered(cudaMemGetInfo(available, total)); }
int cuStreamCreate(void **stream, unsigned flags) { (void)flags; return entered(cudaStreamCreate(stream)); }
int cuStreamSynchronize(void *stream) { return entered(cudaStreamSynchronize(stream)); }
int cuMemHostAlloc(void **place, size_t size, unsigned flags) { return entered(cudaHostAlloc(place, size, flags)); }
int cuMemFreeHost(void *place) { return cudaFreeHost(place); }
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t size, void *stream) {
    return entered(cudaMemcpyAsync(to, from, size, 1, stream));
}
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t size, void *stream) {
    return entered(cudaMemcpyAsync(to, from, size, 2, stream));
}
#endif

#ifdef LIBRARY_cudnn
size_t cudnnGetVersion(void) { return 92800; }
size_t cudnnGetCudartVersion(void) { return 13000; }
const char *cudnnGetErrorString(int status) { (void)status; return "of the stand-in"; }
int cudnnDropoutGetStatesSize(void *handle, size_t *size) { (void)handle; *size = 1024; return 0; }
int cudnnGetRNNWeightSpaceSize(void *handle, void *rnn, size_t *size) {
    (void)handle, (void)rnn;
    *size = 1 << 20;
    return 0;
}
int cudnnGetRNNTempSpaceSizes(void *handle, void *rnn, int mode, void *x, size_t *work, size_t *reserved) {
    (void)handle, (void)rnn, (void)mode, (void)x;
    *work = 1 << 20;
    if (reserved) *reserved = 1 << 20;
    return 0;
}
int cudnnGetRNNWeightParams(
    void *handle, void *rnn, int layer, size_t size, void *space, int gate, void *matrix_shape, void **matrix,
    void *bias_shape, void **bias) {
    (void)handle, (void)rnn, (void)layer, (void)size, (void)gate, (void)matrix_shape, (void)bias_shape;
    *matrix = *bias = space;
    return 0;
}
int cudnnGetTensorNdDescriptor(void *shape, int most, int *type, int *number, int *sizes, int *strides) {
    (void)shape, (void)type;
    *number = 3;
    for (int i = 0; i < 3 && i < most; i++) sizes[i] = strides[i] = 1;
    return 0;
}
int cudnnRNNForward(void) { standin_log("launch 0 0 cudnnRNNForward"); return 0; }
int cudnnBackendExecute(void *handle, void *plan, void *pack) {
    (void)handle, (void)plan, (void)pack;
    standin_log("launch 0 0 cudnnBackendExecute");
    return 0;
}
#endif
