// Sixteen float lanes over the parts of a path: the one vector type that the kernels are written in.
// A sum across lanes runs over 16 of them (element i goes to lane i mod 16, rising i) and ends in sum(): lane i + lane i+8, then i + i+4,
// then i + i+2, then 0 + 1.

namespace elm::ELM_PATH {

constexpr int lane_count = 16;

struct Lanes {
    Part p[parts];
};

#define ELM_PARTS ELM_UNROLL for (int i = 0; i < parts; i++)

static ELM_INLINE int part_of(int n, int i) {
    const int rest = n - i * part_width;
    return rest < 0 ? 0 : rest > part_width ? part_width : rest;
}

static ELM_INLINE Lanes set(float x) { Lanes r; ELM_PARTS r.p[i] = part_set(x); return r; }
static ELM_INLINE Lanes zero() { return set(0.0f); }

/// How elements of a stored type become floats.
struct F32 {
    static constexpr int size = 4;
    static ELM_INLINE Part part(const uint8_t* p) { return part_load(p); }
    static ELM_INLINE Part part_n(const uint8_t* p, int n) { return part_load_n(p, n); }
};
struct BF16 {
    static constexpr int size = 2;
    static ELM_INLINE Part part(const uint8_t* p) { return part_load_bf16(p); }
    static ELM_INLINE Part part_n(const uint8_t* p, int n) { return part_load_bf16_n(p, n); }
};
struct F16 {
    static constexpr int size = 2;
    static ELM_INLINE Part part(const uint8_t* p) { return part_load_f16(p); }
    static ELM_INLINE Part part_n(const uint8_t* p, int n) { return part_load_f16_n(p, n); }
};

template <class T>
static ELM_INLINE Lanes load_as(const uint8_t* p) {
    Lanes r;
    ELM_PARTS r.p[i] = T::part(p + i * part_width * T::size);
    return r;
}
/// The first n elements (at most 16), then zeros; touches no memory beyond them.
template <class T>
static ELM_INLINE Lanes load_as(const uint8_t* p, int n) {
    Lanes r;
    ELM_PARTS r.p[i] = T::part_n(p + i * part_width * T::size, part_of(n, i));
    return r;
}
static ELM_INLINE const uint8_t* bytes(const float* p) { return reinterpret_cast<const uint8_t*>(p); }
static ELM_INLINE Lanes load(const float* p) { return load_as<F32>(bytes(p)); }
static ELM_INLINE Lanes load(const float* p, int n) { return load_as<F32>(bytes(p), n); }
static ELM_INLINE void store(float* p, Lanes a) { ELM_PARTS part_store(p + i * part_width, a.p[i]); }
static ELM_INLINE void store(float* p, Lanes a, int n) { ELM_PARTS part_store_n(p + i * part_width, a.p[i], part_of(n, i)); }

static ELM_INLINE Lanes fma(Lanes a, Lanes b, Lanes c) { Lanes r; ELM_PARTS r.p[i] = part_fma(a.p[i], b.p[i], c.p[i]); return r; }
static ELM_INLINE Lanes add(Lanes a, Lanes b) { Lanes r; ELM_PARTS r.p[i] = part_add(a.p[i], b.p[i]); return r; }
static ELM_INLINE Lanes sub(Lanes a, Lanes b) { Lanes r; ELM_PARTS r.p[i] = part_sub(a.p[i], b.p[i]); return r; }
static ELM_INLINE Lanes mul(Lanes a, Lanes b) { Lanes r; ELM_PARTS r.p[i] = part_mul(a.p[i], b.p[i]); return r; }
static ELM_INLINE Lanes div(Lanes a, Lanes b) { Lanes r; ELM_PARTS r.p[i] = part_div(a.p[i], b.p[i]); return r; }
static ELM_INLINE Lanes sqrt(Lanes a) { Lanes r; ELM_PARTS r.p[i] = part_sqrt(a.p[i]); return r; }
/// a > b ? a : b, so b where either is NaN.
static ELM_INLINE Lanes max(Lanes a, Lanes b) { Lanes r; ELM_PARTS r.p[i] = part_max(a.p[i], b.p[i]); return r; }
/// a < b ? a : b, so b where either is NaN.
static ELM_INLINE Lanes min(Lanes a, Lanes b) { Lanes r; ELM_PARTS r.p[i] = part_min(a.p[i], b.p[i]); return r; }
static ELM_INLINE Lanes negate(Lanes a) { Lanes r; ELM_PARTS r.p[i] = part_negate(a.p[i]); return r; }
static ELM_INLINE Lanes scale(Lanes a, Lanes n) { Lanes r; ELM_PARTS r.p[i] = part_scale(a.p[i], n.p[i]); return r; }

static ELM_INLINE float sum(const Lanes& a) { return part_sum(a.p); }
static ELM_INLINE float largest(const Lanes& a) { return part_largest(a.p); }

#undef ELM_PARTS

/// exp, to about one unit in the last place: 2^n times the Taylor polynomial of degree 7 of the rest, which lies within ln 2 / 2.
/// exp(-inf) = 0, overflow gives infinity, subnormal results are rounded once, NaN stays NaN.
static ELM_INLINE Lanes exp(Lanes x) {
    const Lanes x1 = min(set(89.0f), max(set(-105.0f), x));
    const Lanes magic = set(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    const Lanes n = sub(fma(x1, set(1.44269504f), magic), magic);
    // ln 2 in two parts; n times the first is exact
    Lanes r = fma(n, set(-0.693359375f), x1);
    r = fma(n, set(2.12194440e-4f), r);
    Lanes p = set(1.0f / 5040.0f);
    p = fma(p, r, set(1.0f / 720.0f));
    p = fma(p, r, set(1.0f / 120.0f));
    p = fma(p, r, set(1.0f / 24.0f));
    p = fma(p, r, set(1.0f / 6.0f));
    p = fma(p, r, set(0.5f));
    p = fma(p, r, set(1.0f));
    p = fma(p, r, set(1.0f));
    return scale(p, n);
}

}  // namespace elm::ELM_PATH
