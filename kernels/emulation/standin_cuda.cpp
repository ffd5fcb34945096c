// A stand-in for libcuda.so.1 on top of the emulation: the subset of the driver API the project binds.
// The C# side loads it through ELM_CUDA_LIBRARY, so CI runs the same host code (modules, launches, streams,
// graph capture) as a GPU machine.  "Modules" are accepted as any image; kernels come from the registry.
#include "emulation.h"
#include <stdlib.h>
#include <stdio.h>
#include <set>
#include <map>
#include <mutex>
#include <string>
#include <vector>
using namespace elm::emulation;
typedef int CUresult;                                   // 0 ok, 1 invalid value, 500 not found, 700 illegal address, 719 launch failure
typedef unsigned long long CUdeviceptr;
struct Op { std::vector<std::vector<unsigned char>> params; const Kernel* k; dim3 g, b; unsigned smem; int kind; CUdeviceptr dst, src; size_t n; unsigned char v; };
struct CUstream_st { std::vector<Op>* cap = nullptr; };
struct CUgraph_st { std::vector<Op> ops; };
struct CUfunc_st { const Kernel* k; std::string name; int n; int max_dyn; };
struct CUmod_st { std::string image; };
struct CUevent_st { double t; };
static std::map<uintptr_t, size_t> g_mem; static std::mutex g_mu; static CUstream_st g_null;
static std::string g_last;
static bool inside(CUdeviceptr p, size_t n) {
  std::lock_guard l(g_mu); auto it = g_mem.upper_bound((uintptr_t)p); if (it == g_mem.begin()) return false; --it;
  return p >= it->first && p + n <= it->first + it->second;
}
static CUresult perform(Op& o) {
  switch (o.kind) {
    case 0: { std::vector<void*> p; for (auto& x : o.params) p.push_back(x.data());
      const char* e = nullptr; std::string text = run(*o.k, o.g, o.b, o.smem, p.data()).error; if (!text.empty()) e = text.c_str();
      if (e) { g_last = e; fprintf(stderr, "emulated launch: %s\n", e); return 719; } return 0; }
    case 1: memcpy((void*)o.dst, (void*)o.src, o.n); return 0;
    case 2: memset((void*)o.dst, o.v, o.n); return 0;
  }
  return 1;
}
static CUresult submit(CUstream_st* s, Op&& o) { if (!s) s = &g_null; if (s->cap) { s->cap->push_back(std::move(o)); return 0; } return perform(o); }
extern "C" {
CUresult cuInit(unsigned) { return 0; }
CUresult cuDriverGetVersion(int* v) { *v = 13000; return 0; }
CUresult cuDeviceGetCount(int* n) { *n = 1; return 0; }
CUresult cuDeviceGet(int* d, int i) { *d = i; return i ? 101 : 0; }
CUresult cuDeviceGetName(char* s, int n, int) { snprintf(s, n, "elm host emulation"); return 0; }
CUresult cuDeviceGetAttribute(int* v, int a, int) { switch (a) { case 16: *v = 2; break; case 75: *v = 9; break; case 76: *v = 0; break; case 97: *v = 232448; break; default: *v = 0; } return 0; }
CUresult cuDevicePrimaryCtxRetain(void** c, int) { *c = (void*)1; return 0; }
CUresult cuDevicePrimaryCtxRelease_v2(int) { return 0; }
CUresult cuCtxSetCurrent(void*) { return 0; }
CUresult cuGetErrorString(CUresult e, const char** s) { static thread_local std::string t; t = e == 719 ? "launch failed: " + g_last : "error " + std::to_string(e); *s = t.c_str(); return 0; }
CUresult cuMemAlloc_v2(CUdeviceptr* p, size_t n) { void* m = aligned_alloc(256, (n + 255) & ~(size_t)255); if (!m) return 2; memset(m, 0xff, n); std::lock_guard l(g_mu); g_mem[(uintptr_t)m] = n; *p = (CUdeviceptr)m; return 0; }
CUresult cuMemFree_v2(CUdeviceptr p) { std::lock_guard l(g_mu); if (!g_mem.erase((uintptr_t)p)) return 1; free((void*)p); return 0; }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr d, const void* s, size_t n, CUstream_st* st) { if (!inside(d, n)) return 1; Op o{}; o.kind = 1; o.dst = d; o.src = (CUdeviceptr)s; o.n = n; return submit(st, std::move(o)); }
CUresult cuMemcpyDtoHAsync_v2(void* d, CUdeviceptr s, size_t n, CUstream_st* st) { if (!inside(s, n)) return 1; Op o{}; o.kind = 1; o.dst = (CUdeviceptr)d; o.src = s; o.n = n; return submit(st, std::move(o)); }
CUresult cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, CUstream_st* st) { if (!inside(d, n)) return 1; Op o{}; o.kind = 2; o.dst = d; o.v = v; o.n = n; return submit(st, std::move(o)); }
CUresult cuStreamCreate(CUstream_st** s, unsigned) { *s = new CUstream_st; return 0; }
CUresult cuStreamDestroy_v2(CUstream_st* s) { delete s; return 0; }
CUresult cuStreamSynchronize(CUstream_st* s) { return s && s->cap ? 900 : 0; }
CUresult cuModuleLoadDataEx(CUmod_st** m, const void* image, unsigned, int*, void**) { *m = new CUmod_st{image ? "x" : ""}; return 0; }
CUresult cuModuleUnload(CUmod_st* m) { delete m; return 0; }
CUresult cuModuleGetFunction(CUfunc_st** f, CUmod_st*, const char* name) { const Kernel* t = find_kernel(name); if (!t) return 500; auto* x = new CUfunc_st{}; x->k = t; x->name = name; x->n = t->parameter_count; x->max_dyn = 48 * 1024; *f = x; return 0; }
CUresult cuFuncSetAttribute(CUfunc_st* f, int a, int v) { if (a == 8) { if (v > 232448) return 1; f->max_dyn = v; } return 0; }
CUresult cuLaunchKernel(CUfunc_st* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned smem, CUstream_st* st, void** params, void**) {
  if (!f || (int)smem > f->max_dyn || (uint64_t)bx * by * bz > 1024 || !gx || !gy || !gz || gy > 65535 || gz > 65535) return 1;
  Op o{}; o.kind = 0; o.k = f->k; o.g = {gx, gy, gz}; o.b = {bx, by, bz}; o.smem = smem;
  for (int i = 0; i < f->n; i++) o.params.emplace_back((unsigned char*)params[i], (unsigned char*)params[i] + f->k->parameters[i].bytes);
  return submit(st, std::move(o));
}
CUresult cuStreamBeginCapture_v2(CUstream_st* s, int) { if (!s || s->cap) return 901; s->cap = new std::vector<Op>; return 0; }
CUresult cuStreamEndCapture(CUstream_st* s, CUgraph_st** g) { if (!s || !s->cap) return 901; *g = new CUgraph_st{std::move(*s->cap)}; delete s->cap; s->cap = nullptr; return 0; }
CUresult cuGraphInstantiateWithFlags(CUgraph_st** e, CUgraph_st* g, unsigned long long) { *e = new CUgraph_st(*g); return 0; }
CUresult cuGraphLaunch(CUgraph_st* e, CUstream_st*) { for (auto& o : e->ops) if (int r = perform(o)) return r; return 0; }
CUresult cuGraphDestroy(CUgraph_st* g) { delete g; return 0; }
CUresult cuGraphExecDestroy(CUgraph_st* g) { delete g; return 0; }
}
