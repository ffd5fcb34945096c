// Gradients of attention over packed rows. Queries of one segment are taken as a tile of vectors (query row, head of the group), in
// rising row; for each block of keys p and ds come from recomputed scores. dq is one chain along the keys, dk and dv one chain along the
// vectors. Where a query of a tile does not see a key, p and ds are 0.

namespace elm::ELM_PATH {

struct BackwardTile {
    float *q, *dy, *dq, *p, *ds, *transposed, *log_sum, *mean;
    Run* runs;

    static int64_t vectors(const AttentionArgs& a) { return static_cast<int64_t>(group_rows(a)) * group_of(a); }

    BackwardTile(const AttentionArgs& a, float* scratch) {
        const int64_t n = vectors(a), elements = n * a.head_size;
        q = scratch;
        dy = q + elements;
        dq = dy + elements;
        p = dq + elements;
        ds = p + n * key_block;
        transposed = ds + n * key_block;
        log_sum = transposed + static_cast<int64_t>(key_block) * a.head_size;
        mean = log_sum + n;
        runs = reinterpret_cast<Run*>(mean + n);
    }
};

static int64_t attention_backward_scratch(const AttentionArgs& a) {
    const int64_t n = BackwardTile::vectors(a);
    return n * (3 * a.head_size + 2 * key_block + 2) + static_cast<int64_t>(key_block) * a.head_size +
        2 * static_cast<int64_t>(a.max_depth) + 16;
}

/// p and ds of one vector from scores and dp, in place; zeros from `visible` on.
static void probabilities(float* p, float* ds, int keys, int64_t visible, float factor, float log_sum, float mean) {
    const Lanes f = set(factor), shift = set(log_sum), m = set(mean);
    const int seen = visible < keys ? static_cast<int>(visible > 0 ? visible : 0) : keys;
    for (int j = 0; j < seen; j += lane_count) {
        const Lanes probability = exp(sub(mul(load(p + j), f), shift));
        store(p + j, probability);
        store(ds + j, mul(mul(probability, sub(load(ds + j), m)), f));
    }
    for (int j = seen; j < keys; j++)
        p[j] = ds[j] = 0.0f;
}

/// A tile of queries and up to key_block keys from store row `first` on; query i sees `visible[i]` of them, as far as `own` says that
/// they are of the queries' own segment.
static void backward_block_of(const AttentionArgs& a, const BackwardTile& t, int key_head, int64_t vectors, int64_t first, int keys,
                              const int32_t* queries, int64_t skipped, bool own) {
    const int size = a.head_size, group = group_of(a), columns = (keys + 15) & ~15;
    const int64_t stride = static_cast<int64_t>(a.key_heads) * size, at = first * stride + static_cast<int64_t>(key_head) * size;
    const Axpy scores{t.q, size, 1, t.transposed, key_block, size, t.p, key_block};
    const Axpy products{t.dy, size, 1, t.transposed, key_block, size, t.ds, key_block};
    transpose_keys(a.k + at, stride, keys, size, t.transposed);
    axpy(scores, vectors, columns, Start::zero);
    transpose_keys(a.v + at, stride, keys, size, t.transposed);
    axpy(products, vectors, columns, Start::zero);
    for (int64_t i = 0; i < vectors; i++)
        probabilities(t.p + i * key_block, t.ds + i * key_block, keys, own ? queries[2 * (i / group) + 1] - skipped : keys, a.scale,
            t.log_sum[i], t.mean[i]);
    axpy({t.ds, key_block, 1, a.k + at, stride, keys, t.dq, size}, vectors, size, Start::resume);
    const int terms = static_cast<int>(vectors);
    axpy({t.ds, 1, key_block, t.q, size, terms, a.dk + at, stride}, keys, size, Start::resume);
    axpy({t.p, 1, key_block, t.dy, size, terms, a.dv + at, stride}, keys, size, Start::resume);
}

/// Query rows of one segment.
static void attention_backward_tile(const AttentionArgs& a, int64_t row_begin, int64_t row_end, int key_head, const BackwardTile& t) {
    const int group = group_of(a), size = a.head_size;
    const int64_t vectors = (row_end - row_begin) * group, width = static_cast<int64_t>(a.query_heads) * size;
    const int64_t part = static_cast<int64_t>(group) * size;
    pack_vectors(a, a.q, row_begin, row_end, key_head, t.q);
    pack_vectors(a, a.dy, row_begin, row_end, key_head, t.dy);
    std::memset(t.dq, 0, sizeof(float) * static_cast<size_t>(vectors * size));
    const int32_t* queries = a.queries + 2 * row_begin;
    int32_t most = 0;
    for (int64_t i = 0; i < vectors; i++) {
        const int64_t row = row_begin + i / group, head = static_cast<int64_t>(key_head) * group + i % group;
        t.log_sum[i] = a.log_sum_exp[row * a.query_heads + head];
        t.mean[i] = sum(dot_lanes(t.dy + i * size, a.y + (row * a.query_heads + head) * size, size));
        most = queries[2 * (i / group) + 1] > most ? queries[2 * (i / group) + 1] : most;
    }
    const int run_count = find_runs(a, queries[0], most, t.runs);
    for (int r = 0; r < run_count; r++)
        for (int skipped = 0; skipped < t.runs[r].count; skipped += key_block) {
            const int keys = t.runs[r].count - skipped < key_block ? t.runs[r].count - skipped : key_block;
            backward_block_of(a, t, key_head, vectors, t.runs[r].first + static_cast<int64_t>(skipped), keys, queries, skipped,
                r == run_count - 1);
        }
    for (int64_t row = row_begin; row < row_end; row++)
        std::memcpy(a.dq + row * width + key_head * part, t.dq + (row - row_begin) * part, sizeof(float) * static_cast<size_t>(part));
}

static void attention_backward(const AttentionArgs& a, int64_t item_begin, int64_t item_end, float* scratch) {
    const BackwardTile tile(a, scratch);
    const int64_t stride = static_cast<int64_t>(a.key_heads) * a.head_size;
    for (int64_t item = item_begin; item < item_end; item++) {
        const int64_t tree = item / a.key_heads;
        const int key_head = static_cast<int>(item % a.key_heads);
        const int64_t begin = a.trees[2 * tree], end = begin + a.trees[2 * tree + 1];
        for (int64_t row = begin; row < end; row++) {
            const int64_t at = row * stride + static_cast<int64_t>(key_head) * a.head_size;
            std::memset(a.dk + at, 0, sizeof(float) * static_cast<size_t>(a.head_size));
            std::memset(a.dv + at, 0, sizeof(float) * static_cast<size_t>(a.head_size));
        }
        for (int64_t row = begin; row < end;) {
            int64_t next = row + 1;
            while (next < end && next - row < group_rows(a) && a.queries[2 * next] == a.queries[2 * row])
                next++;
            attention_backward_tile(a, row, next, key_head, tile);
            row = next;
        }
    }
}

}  // namespace elm::ELM_PATH
