// Softmax attention over segments. The visible keys of a query form one logical list, ancestors first; every sum follows that list.

namespace elm::ELM_PATH {

/// A run of store rows.
struct Run {
    int32_t first, count;
};

/// The runs that a query sees, outermost ancestor first; returns their number.
static int find_runs(const AttentionArgs& a, int64_t query, Run* runs) {
    int32_t segment = a.queries[2 * query];
    int depth = 0;
    for (int32_t s = segment; s >= 0; s = a.segments[3 * s + 2])
        depth++;
    int32_t count = a.queries[2 * query + 1];
    for (int i = depth - 1; i >= 0; i--) {
        runs[i] = {a.segments[3 * segment], count};
        segment = a.segments[3 * segment + 2];
        if (segment >= 0)
            count = a.segments[3 * segment + 1];
    }
    return depth;
}

/// out[j] = scale * dot(vector, row j of the runs), j along the logical list; returns the number of rows.
static int run_dots(const float* vector, const float* rows, int64_t stride, int size, float scale, const Run* runs, int run_count, float* out) {
    int j = 0;
    for (int r = 0; r < run_count; r++) {
        const float* row = rows + runs[r].first * stride;
        int i = 0;
        for (; i + 4 <= runs[r].count; i += 4, j += 4) {
            Lanes total[1][4];
            dot_tile<F32, 1, 4>(vector, 0, bytes(row + i * stride), stride * 4, size, total);
            float four[4];
            quad_store(four, sum4(total[0][0], total[0][1], total[0][2], total[0][3]));
            for (int c = 0; c < 4; c++)
                out[j + c] = four[c] * scale;
        }
        for (; i < runs[r].count; i++, j++)
            out[j] = sum(dot_lanes(vector, row + i * stride, size)) * scale;
    }
    return j;
}

/// V vectors of sum_j weights[j] * row j, rising j; `last` columns of the last vector exist.
template <int V>
static ELM_INLINE void weighted_sum(const float* weights, const float* rows, int64_t stride, const Run* runs, int run_count, int last,
                                    Lanes (&acc)[V]) {
    ELM_UNROLL
    for (int v = 0; v < V; v++)
        acc[v] = zero();
    for (int r = 0; r < run_count; r++) {
        const float* row = rows + runs[r].first * stride;
        for (int i = 0; i < runs[r].count; i++, row += stride) {
            const Lanes weight = set(*weights++);
            ELM_UNROLL
            for (int v = 0; v < V; v++)
                acc[v] = fma(weight, v == V - 1 ? load(row + v * lane_count, last) : load(row + v * lane_count), acc[v]);
        }
    }
}

/// out = factor * sum_j weights[j] * row j.
static void run_sums(const float* weights, const float* rows, int64_t stride, int size, const Run* runs, int run_count, float factor,
                     float* out) {
    const Lanes f = set(factor);
    int d = 0;
    for (; d + 2 * lane_count <= size; d += 2 * lane_count) {
        Lanes acc[2];
        weighted_sum<2>(weights, rows + d, stride, runs, run_count, lane_count, acc);
        store(out + d, mul(acc[0], f));
        store(out + d + lane_count, mul(acc[1], f));
    }
    for (; d < size; d += lane_count) {
        const int last = size - d < lane_count ? size - d : lane_count;
        Lanes acc[1];
        weighted_sum<1>(weights, rows + d, stride, runs, run_count, last, acc);
        store(out + d, mul(acc[0], f), last);
    }
}

static ELM_INLINE int64_t padded_context(const AttentionArgs& a) { return (static_cast<int64_t>(a.max_context) + 15) & ~int64_t{15}; }

static int64_t attention_scratch(const AttentionArgs& a) { return 2 * padded_context(a) + 2 * static_cast<int64_t>(a.max_depth) + 16; }

static void attention(const AttentionArgs& a, int64_t item_begin, int64_t item_end, float* scratch) {
    const int group = a.query_heads / a.key_heads;
    const int64_t q_stride = static_cast<int64_t>(a.query_heads) * a.head_size;
    const int64_t k_stride = static_cast<int64_t>(a.key_heads) * a.head_size;
    float* scores = scratch;
    Run* runs = reinterpret_cast<Run*>(scratch + 2 * padded_context(a));
    for (int64_t item = item_begin; item < item_end; item++) {
        const int64_t row = item / a.key_heads;
        const int key_head = static_cast<int>(item % a.key_heads);
        const int run_count = find_runs(a, row, runs);
        const float* k = a.k + static_cast<int64_t>(key_head) * a.head_size;
        const float* v = a.v + static_cast<int64_t>(key_head) * a.head_size;
        for (int head = key_head * group; head < (key_head + 1) * group; head++) {
            const int64_t at = row * q_stride + static_cast<int64_t>(head) * a.head_size;
            const int count = run_dots(a.q + at, k, k_stride, a.head_size, a.scale, runs, run_count, scores);
            float log_sum = -HUGE_VALF;
            if (count == 0) {
                std::memset(a.y + at, 0, sizeof(float) * static_cast<size_t>(a.head_size));
            } else {
                const int padded = (count + 15) & ~15;
                for (int j = count; j < padded; j++)
                    scores[j] = -HUGE_VALF;
                Lanes top = set(-HUGE_VALF);
                for (int j = 0; j < padded; j += lane_count)
                    top = max(top, load(scores + j));
                const float greatest = largest(top);
                Lanes total = zero();
                for (int j = 0; j < padded; j += lane_count) {
                    const Lanes e = exp(sub(load(scores + j), set(greatest)));
                    store(scores + j, e);
                    total = add(total, e);
                }
                const float sum_e = sum(total);
                run_sums(scores, v, k_stride, a.head_size, runs, run_count, 1.0f / sum_e, a.y + at);
                log_sum = greatest + log_f32(sum_e);
            }
            if (a.log_sum_exp != nullptr)
                a.log_sum_exp[row * a.query_heads + head] = log_sum;
        }
    }
}

/// rows[j] += weights[j] * vector for the rows of the runs.
static void run_updates(const float* weights, const float* vector, float* rows, int64_t stride, int size, const Run* runs, int run_count) {
    for (int r = 0; r < run_count; r++) {
        float* row = rows + runs[r].first * stride;
        for (int i = 0; i < runs[r].count; i++, row += stride) {
            const Lanes weight = set(*weights++);
            for (int d = 0; d < size; d += lane_count) {
                const int n = size - d < lane_count ? size - d : lane_count;
                store(row + d, fma(weight, load(vector + d, n), load(row + d, n)), n);
            }
        }
    }
}

static void attention_backward(const AttentionArgs& a, int64_t item_begin, int64_t item_end, float* scratch) {
    const int group = a.query_heads / a.key_heads;
    const int64_t q_stride = static_cast<int64_t>(a.query_heads) * a.head_size;
    const int64_t k_stride = static_cast<int64_t>(a.key_heads) * a.head_size;
    float* p = scratch;
    float* ds = scratch + padded_context(a);
    Run* runs = reinterpret_cast<Run*>(scratch + 2 * padded_context(a));
    for (int64_t item = item_begin; item < item_end; item++) {
        const int64_t tree = item / a.key_heads;
        const int key_head = static_cast<int>(item % a.key_heads);
        const int64_t row_begin = a.trees[2 * tree], row_end = row_begin + a.trees[2 * tree + 1];
        const int64_t head_at = static_cast<int64_t>(key_head) * a.head_size;
        for (int64_t row = row_begin; row < row_end; row++) {
            std::memset(a.dk + row * k_stride + head_at, 0, sizeof(float) * static_cast<size_t>(a.head_size));
            std::memset(a.dv + row * k_stride + head_at, 0, sizeof(float) * static_cast<size_t>(a.head_size));
        }
        for (int64_t row = row_begin; row < row_end; row++) {
            const int run_count = find_runs(a, row, runs);
            for (int head = key_head * group; head < (key_head + 1) * group; head++) {
                const int64_t at = row * q_stride + static_cast<int64_t>(head) * a.head_size;
                const int count = run_dots(a.q + at, a.k + head_at, k_stride, a.head_size, a.scale, runs, run_count, p);
                run_dots(a.dy + at, a.v + head_at, k_stride, a.head_size, 1.0f, runs, run_count, ds);
                const int padded = (count + 15) & ~15;
                const Lanes log_sum = set(a.log_sum_exp[row * a.query_heads + head]);
                const Lanes mean = set(sum(dot_lanes(a.dy + at, a.y + at, a.head_size)));
                for (int j = count; j < padded; j++)
                    p[j] = ds[j] = 0.0f;
                for (int j = 0; j < padded; j += lane_count) {
                    const Lanes probability = exp(sub(load(p + j), log_sum));
                    store(p + j, probability);
                    store(ds + j, mul(mul(probability, sub(load(ds + j), mean)), set(a.scale)));
                }
                run_sums(ds, a.k + head_at, k_stride, a.head_size, runs, run_count, 1.0f, a.dq + at);
                run_updates(ds, a.q + at, a.dk + head_at, k_stride, a.head_size, runs, run_count);
                run_updates(p, a.dy + at, a.dv + head_at, k_stride, a.head_size, runs, run_count);
            }
        }
    }
}

}  // namespace elm::ELM_PATH
