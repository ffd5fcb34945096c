using ElmNative.Compute;
using ElmNative.Experience.Memories;

namespace ElmNative.Experience.Learning;

/// <summary>Where a memory's first values come from.</summary>
public enum InitialisationKind
{
    /// <summary>Embeddings of the question's first tokens; a shorter question is repeated (PEFT's text initialisation).</summary>
    Text,
    /// <summary>
    /// Means of the embeddings of contiguous, equally long stretches of the question, so that no part of a long one is lost. A deviation
    /// from the paper.
    /// </summary>
    Bins,
}

/// <summary>The first values of a memory.</summary>
/// <param name="Rows">[rows x hidden] values</param>
/// <param name="SpecialRows">
/// how many of the first rows began as tokens that the tokenizer adds by itself (Llama's begin-of-text); they stay out of the memory's
/// keys, as the question that is looked up has none
/// </param>
public sealed record Initialisation(float[] Rows, int SpecialRows);

/// <summary>
/// First values of a memory, from the text of its question alone: the instruction in front would make all memories start alike.
/// </summary>
public static class MemoryInitialiser
{
    /// <summary>The start of a new memory.</summary>
    /// <param name="policy">the frozen model</param>
    /// <param name="question">text of the question</param>
    /// <param name="rows">number of rows</param>
    /// <param name="kind">how the question becomes that many rows</param>
    /// <exception cref="ElmException">the question has no token</exception>
    public static Initialisation Start(IPolicy policy, string question, int rows, InitialisationKind kind)
    {
        int[] ids = Retrieval.QuestionIds(policy, question);
        if (kind == InitialisationKind.Bins)
            return new Initialisation(Pool(policy.Embed(ids), policy.HiddenSize, rows), 0);
        int[] tokens = policy.Tokenizer.Encode(question, addSpecialTokens: true);
        int special = Math.Max(0, tokens.AsSpan().IndexOf(ids));
        return new Initialisation(policy.Embed(RepeatOrCut(tokens, rows)), Math.Min(special, rows - 1));
    }

    /// <summary>The first <paramref name="count"/> ids of the ids repeated without end.</summary>
    public static int[] RepeatOrCut(ReadOnlySpan<int> ids, int count)
    {
        int[] result = new int[count];
        for (int i = 0; i < count; i++)
            result[i] = ids[i % ids.Length];
        return result;
    }

    /// <summary>
    /// Means of contiguous bins: bin r covers the vectors [r n / rows, (r + 1) n / rows), and at least the one it starts in where there are
    /// fewer vectors than rows.
    /// </summary>
    /// <param name="vectors">[n x width] values, n at least 1</param>
    /// <param name="width">elements of a vector</param>
    /// <param name="rows">number of bins</param>
    public static float[] Pool(ReadOnlySpan<float> vectors, int width, int rows)
    {
        int count = vectors.Length / width;
        float[] result = new float[rows * width];
        for (int r = 0; r < rows; r++)
        {
            int start = (int)((long)r * count / rows);
            int end = Math.Max(start + 1, (int)((long)(r + 1) * count / rows));
            Retrieval.Mean(vectors[(start * width)..(end * width)], width).CopyTo(result.AsSpan(r * width));
        }
        return result;
    }
}
