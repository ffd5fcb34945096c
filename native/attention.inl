// Softmax attention over segments. The visible keys of a query form one logical list, ancestors first, and every sum follows that list: a
// score is one chain of multiply-adds along the head, the softmax sums 16 lanes by logical index, and an output is one chain along the
// list. Queries that see the same rows are taken together, as a tile of vectors (query row, head of the group); that changes no order.

namespace elm::ELM_PATH {

/// A run of store rows.
struct Run {
    int32_t first, count;
};

/// Vectors of a tile, unless a group alone has more.
constexpr int tile_vectors = 48;
/// Keys that are transposed at a time.
constexpr int key_block = 64;
/// Scores of a tile of the forward pass.
constexpr int64_t tile_scores = 64 * 1024;

static ELM_INLINE int group_of(const AttentionArgs& a) { return a.query_heads / a.key_heads; }

static ELM_INLINE int group_rows(const AttentionArgs& a) { return group_of(a) < tile_vectors ? tile_vectors / group_of(a) : 1; }

/// The runs of a segment's ancestors, outermost first, and then `visible` rows of the segment itself; returns their number.
static int find_runs(const AttentionArgs& a, int32_t segment, int32_t visible, Run* runs) {
    int depth = 0;
    for (int32_t s = segment; s >= 0; s = a.segments[3 * s + 2])
        depth++;
    int32_t count = visible;
    for (int i = depth - 1; i >= 0; i--) {
        runs[i] = {a.segments[3 * segment], count};
        segment = a.segments[3 * segment + 2];
        if (segment >= 0)
            count = a.segments[3 * segment + 1];
    }
    return depth;
}

static ELM_INLINE int64_t run_rows(const Run* runs, int run_count) {
    int64_t rows = 0;
    for (int r = 0; r < run_count; r++)
        rows += runs[r].count;
    return rows;
}

/// out[d, key_block] = rows[key, d] transposed, for up to key_block keys; the places up to the next multiple of 16 repeat the last key.
static void transpose_keys(const float* rows, int64_t stride, int keys, int size, float* out) {
    for (int key = 0; key < keys; key += part_width) {
        const float* from[part_width];
        for (int i = 0; i < part_width; i++)
            from[i] = rows + (key + i < keys ? key + i : keys - 1) * stride;
        int d = 0;
        for (; d + 4 <= size; d += 4) {
            Part columns[4];
            part_transpose4(from, d, columns);
            for (int c = 0; c < 4; c++)
                part_store(out + (d + c) * key_block + key, columns[c]);
        }
        for (; d < size; d++)
            for (int i = 0; i < part_width; i++)
                out[d * key_block + key + i] = from[i][d];
    }
    // An odd number of parts leaves the second half of the last 16 lanes.
    for (int key = (keys + part_width - 1) / part_width * part_width; key % lane_count != 0; key += part_width)
        for (int d = 0; d < size; d++)
            for (int i = 0; i < part_width; i++)
                out[d * key_block + key + i] = 0.0f;
}

/// Scores of V vectors q[v * size + d] with up to key_block keys, which are turned in registers; size is a multiple of 4. The scores up to the
/// next multiple of 16 are those of the last key once more.
template <int V>
static ELM_NOINLINE void few_scores(const float* q, const float* rows, int64_t stride, int keys, int size, float* scores, int64_t score_stride) {
    for (int key = 0; key < keys; key += lane_count) {
        const float* from[lane_count];
        for (int i = 0; i < lane_count; i++)
            from[i] = rows + (key + i < keys ? key + i : keys - 1) * stride;
        Lanes chain[V];
        ELM_UNROLL
        for (int v = 0; v < V; v++)
            chain[v] = zero();
        for (int d = 0; d < size; d += 4) {
            Part columns[parts][4];
            ELM_UNROLL
            for (int j = 0; j < parts; j++)
                part_transpose4(from + j * part_width, d, columns[j]);
            ELM_UNROLL
            for (int c = 0; c < 4; c++)
                ELM_UNROLL
                for (int v = 0; v < V; v++) {
                    const Part s = part_set(q[v * size + d + c]);
                    ELM_UNROLL
                    for (int j = 0; j < parts; j++)
                        chain[v].p[j] = part_fma(s, columns[j][c], chain[v].p[j]);
                }
        }
        ELM_UNROLL
        for (int v = 0; v < V; v++)
            store(scores + v * score_stride + key, chain[v]);
    }
}

/// The rows [row_begin, row_end) of x as vectors (row, head of the group of a key head) behind each other.
static void pack_vectors(const AttentionArgs& a, const float* x, int64_t row_begin, int64_t row_end, int key_head, float* out) {
    const int64_t width = static_cast<int64_t>(a.query_heads) * a.head_size, part = static_cast<int64_t>(group_of(a)) * a.head_size;
    for (int64_t row = row_begin; row < row_end; row++, out += part)
        std::memcpy(out, x + row * width + key_head * part, sizeof(float) * static_cast<size_t>(part));
}

static ELM_INLINE int64_t score_stride(const AttentionArgs& a) {
    return ((static_cast<int64_t>(a.max_context) + 15) & ~int64_t{15}) + key_block;
}

static int attention_rows(const AttentionArgs& a) {
    const int64_t fitting = tile_scores / (score_stride(a) * group_of(a));
    return fitting < 1 ? 1 : fitting < group_rows(a) ? static_cast<int>(fitting) : group_rows(a);
}

/// Scratch of a tile of the forward pass.
struct ForwardTile {
    float *q, *sums, *scores, *transposed;
    RowSoftmax* softmax;
    Run* runs;
    int64_t stride;

    ForwardTile(const AttentionArgs& a, float* scratch) {
        const int64_t vectors = static_cast<int64_t>(a.block_rows) * group_of(a);
        stride = score_stride(a);
        q = scratch;
        sums = q + vectors * a.head_size;
        transposed = sums + vectors * a.head_size;
        scores = transposed + static_cast<int64_t>(key_block) * a.head_size;
        softmax = reinterpret_cast<RowSoftmax*>(scores + vectors * stride);
        runs = reinterpret_cast<Run*>(softmax + vectors);
    }
};

static int64_t attention_scratch(const AttentionArgs& a) {
    const int64_t vectors = static_cast<int64_t>(a.block_rows) * group_of(a);
    return vectors * (2 * a.head_size + score_stride(a) + 2) + static_cast<int64_t>(key_block) * a.head_size +
        2 * static_cast<int64_t>(a.max_depth) + 16;
}

/// Unscaled scores of vectors with the rows of the runs, from logical index `at` on. Places behind the last index hold rubbish.
static void tile_scores_of(const AttentionArgs& a, const ForwardTile& t, const float* k, int64_t vector, int64_t vectors,
                           const Run* runs, int run_count, int64_t at) {
    const int64_t k_stride = static_cast<int64_t>(a.key_heads) * a.head_size;
    for (int r = 0; r < run_count; r++)
        for (int first = 0; first < runs[r].count; first += key_block) {
            const int keys = runs[r].count - first < key_block ? runs[r].count - first : key_block;
            const float* rows = k + (runs[r].first + static_cast<int64_t>(first)) * k_stride;
            const float* q = t.q + vector * a.head_size;
            float* scores = t.scores + vector * t.stride + at;
            switch (a.head_size % 4 == 0 ? vectors : 0) {
            case 1: few_scores<1>(q, rows, k_stride, keys, a.head_size, scores, t.stride); break;
            case 2: few_scores<2>(q, rows, k_stride, keys, a.head_size, scores, t.stride); break;
            case 3: few_scores<3>(q, rows, k_stride, keys, a.head_size, scores, t.stride); break;
            case 4: few_scores<4>(q, rows, k_stride, keys, a.head_size, scores, t.stride); break;
            default:
                transpose_keys(rows, k_stride, keys, a.head_size, t.transposed);
                axpy({q, a.head_size, 1, t.transposed, key_block, a.head_size, scores, t.stride}, vectors, (keys + 15) & ~15, Start::zero);
            }
            at += keys;
        }
}

/// Goes on with the sums of e_j v_j over the rows of the runs, from logical index `at` on.
static void tile_sums(const AttentionArgs& a, const ForwardTile& t, const float* v, int64_t vector, int64_t vectors,
                      const Run* runs, int run_count, int64_t at) {
    const int64_t k_stride = static_cast<int64_t>(a.key_heads) * a.head_size;
    for (int r = 0; r < run_count; r++) {
        axpy({t.scores + vector * t.stride + at, t.stride, 1, v + runs[r].first * k_stride, k_stride, runs[r].count,
                   t.sums + vector * a.head_size, a.head_size},
                  vectors, a.head_size, Start::resume);
        at += runs[r].count;
    }
}

/// Scales `count` scores, replaces them by exp(score - largest), and returns what RowSoftmax says.
static RowSoftmax softmax_scores(float* scores, int64_t count, float factor) {
    const int64_t padded = (count + 15) & ~int64_t{15};
    const Lanes f = set(factor);
    for (int64_t j = count; j < padded; j++)
        scores[j] = factor < 0.0f ? HUGE_VALF : -HUGE_VALF;
    Lanes top = set(-HUGE_VALF);
    for (int64_t j = 0; j < padded; j += lane_count)
        top = max(top, mul(load(scores + j), f));
    const float greatest = largest(top);
    const Lanes shift = set(greatest);
    Lanes total = zero();
    for (int64_t j = 0; j < padded; j += lane_count) {
        const Lanes e = exp(sub(mul(load(scores + j), f), shift));
        store(scores + j, e);
        total = add(total, e);
    }
    return {greatest, sum(total)};
}

/// Goes on with the sums of query rows [row_begin, row_end) of one segment from its row `done` on: first with the rows that all of them
/// see, then half by half. `before` counts the rows of the ancestors; rows count from the first query of the tile.
static void segment_sums(const AttentionArgs& a, const ForwardTile& t, const float* v, const int32_t* queries, int64_t row_begin,
                         int64_t row_end, int32_t done, int64_t before) {
    const int group = group_of(a);
    int32_t least = queries[2 * row_begin + 1];
    for (int64_t i = row_begin + 1; i < row_end; i++)
        least = queries[2 * i + 1] < least ? queries[2 * i + 1] : least;
    if (least > done) {
        const Run run = {a.segments[3 * queries[2 * row_begin]] + done, least - done};
        tile_sums(a, t, v, row_begin * group, (row_end - row_begin) * group, &run, 1, before + done);
    }
    if (row_end - row_begin == 1)
        return;
    const int64_t middle = (row_begin + row_end) / 2;
    segment_sums(a, t, v, queries, row_begin, middle, least, before);
    segment_sums(a, t, v, queries, middle, row_end, least, before);
}

/// Query rows that share a list of keys: rows of one segment, or rows of different segments with one parent.
static void attention_tile(const AttentionArgs& a, int64_t row_begin, int64_t row_end, int key_head, const ForwardTile& t) {
    const int group = group_of(a), size = a.head_size;
    const int64_t rows = row_end - row_begin, vectors = rows * group;
    const float* k = a.k + static_cast<int64_t>(key_head) * size;
    const float* v = a.v + static_cast<int64_t>(key_head) * size;
    const int32_t* queries = a.queries + 2 * row_begin;
    pack_vectors(a, a.q, row_begin, row_end, key_head, t.q);
    std::memset(t.sums, 0, sizeof(float) * static_cast<size_t>(vectors * size));

    const bool one_segment = rows == 1 || queries[0] == queries[2];
    int32_t most = 0;
    for (int64_t i = 0; i < rows; i++)
        most = queries[2 * i + 1] > most ? queries[2 * i + 1] : most;
    const int run_count = find_runs(a, queries[0], one_segment ? most : 0, t.runs);
    const int64_t before = run_rows(t.runs, run_count - 1);
    tile_scores_of(a, t, k, 0, vectors, t.runs, run_count, 0);
    if (!one_segment)
        for (int64_t i = 0; i < rows; i++) {
            const Run own = {a.segments[3 * queries[2 * i]], queries[2 * i + 1]};
            tile_scores_of(a, t, k, i * group, group, &own, 1, before);
        }

    for (int64_t i = 0; i < vectors; i++)
        t.softmax[i] = softmax_scores(t.scores + i * t.stride, before + queries[2 * (i / group) + 1], a.scale);
    tile_sums(a, t, v, 0, vectors, t.runs, run_count - 1, 0);
    if (one_segment)
        segment_sums(a, t, v, queries, 0, rows, 0, before);
    else
        for (int64_t i = 0; i < rows; i++)
            segment_sums(a, t, v, queries, i, i + 1, 0, before);

    for (int64_t i = 0; i < vectors; i++) {
        const RowSoftmax softmax = t.softmax[i];
        const bool empty = before + queries[2 * (i / group) + 1] == 0;
        const Lanes factor = set(empty ? 0.0f : 1.0f / softmax.sum);
        const int64_t head = (row_begin + i / group) * a.query_heads + static_cast<int64_t>(key_head) * group + i % group;
        float* y = a.y + head * size;
        for (int d = 0; d < size; d += lane_count) {
            const int n = size - d < lane_count ? size - d : lane_count;
            store(y + d, mul(load(t.sums + i * size + d, n), factor), n);
        }
        if (a.log_sum_exp != nullptr)
            a.log_sum_exp[head] = empty ? -HUGE_VALF : softmax.largest + log_f32(softmax.sum);
    }
}

static void attention(const AttentionArgs& a, int64_t item_begin, int64_t item_end, float* scratch) {
    const ForwardTile tile(a, scratch);
    for (int64_t item = item_begin; item < item_end; item++) {
        const int64_t begin = item / a.key_heads * a.block_rows;
        const int64_t end = begin + a.block_rows < a.rows ? begin + a.block_rows : a.rows;
        const int key_head = static_cast<int>(item % a.key_heads);
        for (int64_t row = begin; row < end;) {
            const int32_t segment = a.queries[2 * row], parent = a.segments[3 * segment + 2];
            int64_t next = row + 1;
            while (next < end && a.queries[2 * next] == segment)
                next++;
            if (next == row + 1 && parent >= 0)
                while (next < end && a.queries[2 * next] != segment && a.segments[3 * a.queries[2 * next] + 2] == parent)
                    next++;
            attention_tile(a, row, next, key_head, tile);
            row = next;
        }
    }
}

}  // namespace elm::ELM_PATH
