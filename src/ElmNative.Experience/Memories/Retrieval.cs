using ElmNative.Experience.Learning;

namespace ElmNative.Experience.Memories;

/// <summary>Which keys a question is compared with.</summary>
public enum RetrievalKind
{
    /// <summary>Mean embedding of the question's tokens against the mean of a memory's rows.</summary>
    Input,
    /// <summary>
    /// Each layer's pooled pre-rotary queries of the question alone against the pooled pre-rotary keys of a memory alone; the mean of the
    /// layers' cosines.
    /// </summary>
    Kv,
}

/// <summary>A retrieved memory.</summary>
/// <param name="Index">its place among the memories</param>
/// <param name="Similarity">cosine, or mean of the layers' cosines</param>
public readonly record struct Match(int Index, double Similarity);

/// <summary>
/// Finds the memory nearest to a question. Sums run in one fixed order in double precision, so that every machine and every batch size gets
/// the same bits.
/// </summary>
public static class Retrieval
{
    /// <summary>Norms below this, or not finite, count as no direction at all.</summary>
    public const double SmallestNorm = 1e-12;

    /// <summary>
    /// The token ids of a question as retrieval sees it: the question alone, without instruction, template and special tokens, which would
    /// dominate every mean.
    /// </summary>
    /// <exception cref="Compute.ElmException">the question has no token</exception>
    public static int[] QuestionIds(IPolicy policy, string question)
    {
        int[] ids = policy.Tokenizer.Encode(question, addSpecialTokens: false);
        return ids.Length > 0 ? ids : throw new Compute.ElmException("a problem has an empty text: give it one");
    }

    /// <summary>The vectors that questions are looked up by: [hidden] each, or [layers x headSize] each.</summary>
    public static float[][] Queries(IPolicy policy, RetrievalKind kind, IReadOnlyList<string> questions)
    {
        List<int[]> ids = [.. questions.Select(question => QuestionIds(policy, question))];
        return kind == RetrievalKind.Kv ? policy.PoolQueries(ids) : [.. ids.Select(i => Mean(policy.Embed(i), policy.HiddenSize))];
    }

    /// <summary>The key of a memory under a kind of retrieval.</summary>
    public static float[] Key(Memory memory, RetrievalKind kind) => kind == RetrievalKind.Kv ? memory.KvKey : memory.InputKey;

    /// <summary>
    /// The most similar of the first <paramref name="limit"/> memories; the earliest among equals; null where there is none that has a
    /// direction.
    /// </summary>
    /// <param name="memories">memories in order of creation</param>
    /// <param name="kind">which keys are compared</param>
    /// <param name="query">a vector of <see cref="Queries"/></param>
    /// <param name="terms">vectors that lie side by side in a key: the number of layers for <see cref="RetrievalKind.Kv"/>, else 1</param>
    /// <param name="limit">memories that may be seen: those made before the question</param>
    public static Match? Nearest(IReadOnlyList<Memory> memories, RetrievalKind kind, ReadOnlySpan<float> query, int terms, int limit)
    {
        Match? best = null;
        for (int i = 0; i < Math.Min(limit, memories.Count); i++)
            if (Similarity(query, Key(memories[i], kind), terms) is double score && (best is null || score > best.Value.Similarity))
                best = new Match(i, score);
        return best;
    }

    /// <summary>
    /// Mean over terms of the cosines of corresponding vectors. A term without direction on either side counts 0; null when no term has
    /// one.
    /// </summary>
    public static double? Similarity(ReadOnlySpan<float> query, ReadOnlySpan<float> key, int terms)
    {
        if (query.Length != key.Length || terms < 1 || query.Length % terms != 0)
            throw new ArgumentException($"{terms} terms of a query of {query.Length} and a key of {key.Length} values");
        int width = query.Length / terms;
        double sum = 0;
        bool any = false;
        for (int t = 0; t < terms; t++)
        {
            if (Cosine(query.Slice(t * width, width), key.Slice(t * width, width)) is not double cosine)
                continue;
            sum += cosine;
            any = true;
        }
        return any ? sum / terms : null;
    }

    /// <summary>The mean of rows, [width].</summary>
    public static float[] Mean(ReadOnlySpan<float> vectors, int width)
    {
        double[] sums = new double[width];
        for (int i = 0; i < vectors.Length; i++)
            sums[i % width] += vectors[i];
        double rows = Math.Max(1, vectors.Length / width);
        return Array.ConvertAll(sums, sum => (float)(sum / rows));
    }

    private static double? Cosine(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        double product = 0, leftSquares = 0, rightSquares = 0;
        for (int i = 0; i < left.Length; i++)
        {
            product += (double)left[i] * right[i];
            leftSquares += (double)left[i] * left[i];
            rightSquares += (double)right[i] * right[i];
        }
        double leftNorm = Math.Sqrt(leftSquares), rightNorm = Math.Sqrt(rightSquares);
        bool directed = double.IsFinite(leftNorm) && double.IsFinite(rightNorm) && leftNorm >= SmallestNorm && rightNorm >= SmallestNorm;
        return directed ? product / (leftNorm * rightNorm) : null;
    }
}
